// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepLedger is first in the list of steps, so its clean-up is last: it removes all that the bake has made, but the
// image of one that succeeded. As it is a step's clean-up, Packer leaves it out for -on-error=abort, and asks before it for
// -on-error=ask.
type stepLedger struct{}

// cleanupTimeout is how long cleaning up may take. It has its own time: a bake that was cancelled has none left.
const cleanupTimeout = 15 * time.Minute

// hurriedTime is how long each removal may still take when the user has interrupted once more: enough to ask AWS for it, not to
// wait until it is done.
const hurriedTime = 5 * time.Second

var errHurried = errors.New("interrupted again, so it was not waited for")

// patience is the context of one removal. It ends soon when the user has interrupted the clean-up.
func (b *bake) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-ctx.Done():
			return
		case <-b.hurry:
		}
		select {
		case <-ctx.Done():
		case <-time.After(hurriedTime):
			cancel(errHurried)
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Run implements multistep.Step.
func (*stepLedger) Run(_ context.Context, state multistep.StateBag) multistep.StepAction {
	unpack(state).phases.enter(phasePrepare)
	return multistep.ActionContinue
}

// Cleanup removes everything in the ledger.
func (*stepLedger) Cleanup(state multistep.StateBag) {
	b := unpack(state)
	b.phases.enter(phaseCleanup)
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if len(b.ledger.list()) > 0 {
		b.say("Cleaning up...")
	}
	err := b.ledger.undo(ctx, b.patience)
	if err == nil {
		return
	}
	b.ui.Error(blot("cleaning up: " + err.Error()))
	if failed, ok := state.GetOk(keyError); ok {
		state.Put(keyError, errors.Join(failed.(error), err)) //nolint:forcetypeassert // only errors are put there
	}
}
