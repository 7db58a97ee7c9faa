// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

// stepLedger is first in the list of steps, so its clean-up is last: it removes all that the bake has made, but the
// image of one that succeeded. As it is a step's clean-up, Packer leaves it out for -on-error=abort, and asks before it
// for -on-error=ask.
type stepLedger struct{}

// cleanupTimeout is how long cleaning up may take. It has its own time: a bake that was cancelled has none left.
const cleanupTimeout = 15 * time.Minute

// hurriedTimeout is how long each removal may still take when the user has interrupted once more: enough to ask AWS for
// it, not to wait until it is done.
const hurriedTimeout = 5 * time.Second

var errHurried = errors.New("interrupted again, so it was not waited for")

// cleanupContext returns the context of one removal. It ends soon when hurry is closed: the user has interrupted the
// clean-up.
func cleanupContext(ctx context.Context, hurry <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-hurry:
		}
		select {
		case <-ctx.Done():
		case <-time.After(hurriedTimeout):
			cancel(errHurried)
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Run implements multistep.Step.
func (*stepLedger) Run(_ context.Context, state multistep.StateBag) multistep.StepAction {
	unpack(state).Phases.Enter(bake.PhasePrepare)
	return multistep.ActionContinue
}

// Cleanup undoes everything in the ledger.
func (*stepLedger) Cleanup(state multistep.StateBag) {
	b := unpack(state)
	b.Phases.Enter(bake.PhaseCleanup)
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if len(b.Ledger.List()) > 0 {
		b.Say("Cleaning up...")
	}
	err := b.Ledger.UndoAll(ctx, func(ctx context.Context) (context.Context, context.CancelFunc) {
		return cleanupContext(ctx, b.hurry)
	})
	if err == nil {
		return
	}
	b.UI.Error(redact.Text("cleaning up: " + err.Error()))
	if failed := errorIn(state); failed != nil {
		state.Put(keyError, errors.Join(failed, err))
	}
}
