// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/scratch"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
	"github.com/amibakery/packer-plugin-bakery/internal/sweep"
)

const (
	// sweepTimeout is how long the sweep beside a bake may take. What is not gone then, the next sweep removes.
	sweepTimeout = 5 * time.Minute
	// sweepWait is how long a bake that has ended waits for its sweep.
	sweepWait = 30 * time.Second
)

var errSlowSweep = errors.New("the sweep takes too long; the next one goes on")

// stepSweep begins to remove what killed bakes have left, while the build goes on.
type stepSweep struct {
	nothingToUndo
	ended chan struct{} // closed when the sweep has ended; nil without one
	stop  context.CancelCauseFunc
}

// Run implements multistep.Step.
func (s *stepSweep) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	b := unpack(state)
	if b.config.Sweep.False() {
		return multistep.ActionContinue
	}
	s.ended = make(chan struct{})
	own, stop := context.WithCancelCause(ctx)
	s.stop = stop
	go func() {
		defer close(s.ended)
		own, cancel := context.WithTimeoutCause(own, sweepTimeout, errSlowSweep)
		defer cancel()
		result := newSweeper(b).Sweep(own)
		if text := result.Warning(); text != "" && ctx.Err() == nil {
			b.Warn("%s", text)
		}
		if len(result.Kept) > 0 {
			b.Say("Images of killed bakes are there that never got all they were to have: %s",
				strings.Join(result.Kept, ", "))
		}
		sayUnproven(b, result.Unproven, mostUnproven)
	}()
	return multistep.ActionContinue
}

// wait waits until the sweep has ended, but not long.
func (s *stepSweep) wait() {
	if s.ended == nil {
		return
	}
	slow := time.AfterFunc(sweepWait, func() { s.stop(errSlowSweep) })
	defer slow.Stop()
	<-s.ended
	s.stop(nil)
}

// stepSweepOnly is all that a source with sweep_only does.
type stepSweepOnly struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepSweepOnly) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return runStep(ctx, state, bake.PhaseCleanup, func(ctx context.Context, b *build) error {
		scratch.Sweep(os.TempDir()) // which a bake does when it makes its first directory
		result := newSweeper(b).Sweep(ctx)
		if len(result.Removed) == 0 {
			b.Say("Nothing of bakes has expired")
		}
		for _, image := range result.Kept {
			b.Say("Kept: %s", image)
		}
		sayUnproven(b, result.Unproven, len(result.Unproven))
		return errors.Join(result.Errs...)
	})
}

// mostUnproven is how much of what nothing proves to be a bake's is named beside a bake: somebody may have copied the
// tags to very many things.
const mostUnproven = 5

// sayUnproven names what the sweep has kept because nothing proves that a bake has made it.
func sayUnproven(b *build, unproven []string, most int) {
	if len(unproven) == 0 {
		return
	}
	b.Say("The sweep keeps what has the tags or the name of a bake, but nothing proves that the bake has made it: " +
		"Packer was killed at that moment, or somebody has copied them. To remove it:")
	for _, what := range unproven[:min(most, len(unproven))] {
		b.Say("    %s", what)
	}
	if more := len(unproven) - most; more > 0 {
		b.Say("    and %d more, which a build with sweep_only lists", more)
	}
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
