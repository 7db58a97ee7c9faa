// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
	"github.com/amibakery/packer-plugin-bakery/internal/sweep"
)

// sweepTimeout is how long a bake may be kept waiting by its sweep. What is not gone then, the next sweep removes.
const sweepTimeout = 5 * time.Minute

// stepSweep begins to remove what killed bakes have left, while the build goes on.
type stepSweep struct {
	nothingToUndo
	ended chan struct{} // closed when the sweep has ended; nil without one
}

// Run implements multistep.Step.
func (s *stepSweep) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	b := unpack(state)
	if b.config.Sweep.False() {
		return multistep.ActionContinue
	}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		own, cancel := context.WithTimeoutCause(ctx, sweepTimeout,
			errors.New("the sweep takes too long; the next one goes on"))
		defer cancel()
		result := newSweeper(b).Sweep(own)
		if text := result.Warning(); text != "" && ctx.Err() == nil {
			b.Warn("%s", text)
		}
		if len(result.Kept) > 0 {
			b.Say("Images of killed bakes are there that never got all they were to have: %s",
				strings.Join(result.Kept, ", "))
		}
	}()
	return multistep.ActionContinue
}

// wait waits until the sweep has ended.
func (s *stepSweep) wait() {
	if s.ended != nil {
		<-s.ended
	}
}

// stepSweepOnly is all that a source with sweep_only does.
type stepSweepOnly struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepSweepOnly) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return runStep(ctx, state, bake.PhaseCleanup, func(ctx context.Context, b *build) error {
		result := newSweeper(b).Sweep(ctx)
		if len(result.Removed) == 0 {
			b.Say("Nothing of bakes has expired")
		}
		for _, image := range result.Kept {
			b.Say("Kept: %s", image)
		}
		return errors.Join(result.Errs...)
	})
}

func newSweeper(b *build) *sweep.Sweeper {
	home := b.account.clients.Region()
	var store *staging.Store
	if b.stage != nil {
		store = b.stage.Store
	}
	return &sweep.Sweeper{
		Bake: b.Bake, Clients: &b.account.clients, Store: store,
		Regions: append([]string{home}, b.config.OtherRegions(home)...),
		Roles:   b.config.TemporaryProfilePolicy != nil || b.config.SweepOnly,
	}
}
