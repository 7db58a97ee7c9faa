// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"strconv"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"github.com/hashicorp/packer-plugin-sdk/packerbuilderdata"

	"github.com/amibakery/packer-plugin-bakery/internal/recorder"
)

// stepReuse records what the image will be made of and, for reuse_unchanged, ends the baking when there is such an image. It
// comes when all inputs are known, and before the first thing is made.
type stepReuse struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepReuse) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	action := step(ctx, state, phasePrepare, func(ctx context.Context, b *bake) error {
		if b.config.SkipCreateAMI {
			return nil
		}
		if err := b.findInputs(); err != nil || !b.config.ReuseUnchanged {
			return err
		}
		return b.reuse(ctx)
	})
	if action == multistep.ActionContinue {
		unpack(state).publishInputs(state)
	}
	return action
}

func (b *bake) reuse(ctx context.Context) error {
	if b.config.PackerForce {
		b.say("Baking whether something has changed or not, because of -force")
		return b.checkNames(ctx)
	}
	b.makePlaces()
	found, why, err := b.findUnchanged(ctx, b.places)
	switch {
	case err != nil:
		return err
	case found:
		b.reused = true
		b.say("Nothing has changed since %s was made, so it is not baked again (reuse_unchanged)", described(&b.places[0].image))
		return nil
	case why != "":
		b.say("Baking, although nothing has changed: %s", why)
	default:
		if err := b.sayWhatChanged(ctx, b.places[0]); err != nil {
			return err
		}
	}
	b.home, b.places = nil, nil
	return b.checkNames(ctx)
}

// The names of the build data that only post-processors can know: Packer's manifest takes them as custom_data.
const (
	dataDigest = "InputsDigest"
	dataInputs = "Inputs"
	dataReused = "Reused"
)

// publishInputs gives the inputs to post-processors.
func (b *bake) publishInputs(state multistep.StateBag) {
	values := map[string]string{dataReused: strconv.FormatBool(b.reused), dataDigest: "", dataInputs: ""}
	if b.inputs != nil {
		values[dataDigest], values[dataInputs] = b.inputs.digest(), b.inputs.detail()
		if options := b.inputs.tags()[tagInputsOptions]; options != "" {
			values[dataInputs] += " " + options
		}
	}
	generated := packerbuilderdata.GeneratedData{State: state}
	for name, value := range values {
		generated.Put(name, value)
	}
}

// withoutInputs is for provisioners, which are inputs themselves.
func withoutInputs(state multistep.StateBag) {
	generated := packerbuilderdata.GeneratedData{State: state}
	for _, name := range []string{dataDigest, dataInputs, dataReused} {
		generated.Put(name, recorder.Placeholder("INPUTS"))
	}
}
