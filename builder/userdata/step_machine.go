// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepMachine has a machine bake itself: it launches it, watches it, and finds out what became of it. They are one step
// because AWS may take a Spot Instance back, and then all of it begins again.
type stepMachine struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepMachine) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	action := baking(ctx, state, phaseStage, bakeOnMachine)
	if id := unpack(state).machine.id; id != "" {
		state.Put("instance_id", id) // Packer's build.ID
	}
	return action
}

// attempts is how many machines a bake may use: the second is for a Spot Instance that AWS took back.
const attempts = 2

func bakeOnMachine(ctx context.Context, b *bake) error {
	b.machine = &machine{}
	offers := b.offers(ctx)
	for n := 1; ; n++ {
		b.machine = &machine{attempt: n}
		made, err := b.attempt(ctx, offers)
		why := b.takenBack(ctx)
		switch {
		case why == "":
			if err != nil { // at once: nothing is cleaned up with -on-error=abort
				b.saveLog(ctx, b.config.failureLog())
			}
			return err
		case n == attempts || b.config.SpotFallback == fallbackNone:
			return fmt.Errorf("AWS took the Spot Instance %s back: %s. spot_fallback says what to do then", b.machine.id, why)
		}
		b.warn("AWS took the Spot Instance %s back: %s", b.machine.id, why)
		offers = b.otherOffers(offers)
		b.say("Baking once more, on %s", offers[0])
		if err := b.ledger.remove(ctx, made); err != nil {
			b.warn("%s", err)
		}
	}
}

// attempt launches a machine and waits for its verdict. It returns the machine's place in the ledger.
func (b *bake) attempt(ctx context.Context, offers []offer) (*entry, error) {
	made, err := b.launch(ctx, offers)
	if err != nil {
		return made, err
	}
	if err := watch(ctx, b); err != nil {
		return made, err
	}
	err = findVerdict(ctx, b)
	b.tellAll(nil, true)
	return made, err
}
