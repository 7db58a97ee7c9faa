// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"github.com/hashicorp/packer-plugin-sdk/multistep/commonsteps"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// Run bakes the image. It returns no artifact with skip_create_ami.
func (b *Builder) Run(ctx context.Context, ui packersdk.Ui, hook packersdk.Hook) (packersdk.Artifact, error) {
	ctx, hurry, stop := outlive(ctx)
	defer stop()
	bake := newBake(&b.config, ui)
	bake.hurry = hurry
	return bake.run(ctx, hook)
}

// steps are the bake, in order. What costs money begins with stepMachine.
func (b *bake) steps() []multistep.Step {
	if b.config.SweepOnly {
		return []multistep.Step{&stepLedger{}, &stepAccess{}, &stepSweepOnly{}}
	}
	steps := []multistep.Step{
		&stepLedger{},
		&stepAccess{},
		&stepSweep{},
		&stepPayload{},
		&stepCheck{},
		newStepProvision(),
		&stepReuse{},
		&stepStage{},
		&stepGroup{},
		&stepProfile{},
		&stepLog{},
		&stepMachine{},
	}
	if !b.config.SkipCreateAMI {
		output := &stepOutput{}
		steps = append(steps, &stepImage{}, &stepCopies{}, &stepAttributes{}, &stepReplace{}, output, &stepProtect{output: output})
	}
	return steps
}

func (b *bake) run(ctx context.Context, hook packersdk.Hook) (packersdk.Artifact, error) {
	state := new(multistep.BasicStateBag)
	state.Put(keyUI, b.ui)
	state.Put(keyHook, hook)
	state.Put(keyBake, b)

	commonsteps.NewRunner(b.steps(), b.config.PackerConfig, b.ui).Run(ctx, state)
	b.awaitSweep()

	b.tellWhatIsLeft()
	b.say("Seconds spent: %s", b.phases.end())
	err := outcome(state)
	switch {
	case err != nil && b.done: // cancelled while it was cleaning up
		b.say("Cancelled when the image was complete, so it stays")
	case err != nil:
		return nil, withoutSecrets(b.withSurvivors(err))
	}
	switch {
	case b.config.SweepOnly:
		return nil, nil //nolint:nilnil // Packer's way to say that there is no artifact
	case b.config.SkipCreateAMI:
		b.say("The machine has baked; skip_create_ami makes no image of it")
		return nil, nil //nolint:nilnil // Packer's way to say that there is no artifact
	}
	return b.artifact(state), nil
}

// outcome is the error a bake ended with, or nil.
func outcome(state multistep.StateBag) error {
	if err, ok := state.GetOk(keyError); ok {
		return err.(error) //nolint:forcetypeassert // only errors are put there
	}
	if _, ok := state.GetOk(multistep.StateCancelled); ok {
		return errCancelled
	}
	if _, ok := state.GetOk(multistep.StateHalted); ok {
		return errors.New("the bake was halted")
	}
	return nil
}

// withSurvivors adds to an error which new images are there in spite of it.
func (b *bake) withSurvivors(err error) error {
	if left := b.survivors(); len(left) > 0 {
		return fmt.Errorf("%w\nkept, because what it was to replace is gone: %s", err, strings.Join(left, "; "))
	}
	return err
}
