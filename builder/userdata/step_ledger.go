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
	err := b.ledger.undo(ctx)
	if err == nil {
		return
	}
	b.ui.Error(blot("cleaning up: " + err.Error()))
	if failed, ok := state.GetOk(keyError); ok {
		state.Put(keyError, errors.Join(failed.(error), err)) //nolint:forcetypeassert // only errors are put there
	}
}
