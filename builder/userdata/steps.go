// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"github.com/hashicorp/packer-plugin-sdk/packerbuilderdata"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// The steps of a build, by the names that packer build -debug prints. Each runs one function of run.go.
type (
	stepAccess     struct{ nothingToUndo } // finds the account and the region
	stepPayload    struct{ nothingToUndo } // compiles the Image-Source, or reads the bundle or the user data
	stepCheck      struct{ nothingToUndo } // looks for everything in the account that would make the bake fail later
	stepReuse      struct{ nothingToUndo } // looks for an image of the same inputs, for reuse_unchanged
	stepStage      struct{ nothingToUndo } // uploads fs/ and the recorded provisioners
	stepGroup      struct{ nothingToUndo } // makes a security group, when the template names none
	stepProfile    struct{ nothingToUndo } // makes a role and an instance profile of the template's policy
	stepMachine    struct{ nothingToUndo } // has a machine bake itself
	stepImage      struct{ nothingToUndo } // makes an image of the stopped machine
	stepCopies     struct{ nothingToUndo } // copies the image to every region that is to have it and has none yet
	stepAttributes struct{ nothingToUndo } // shares the images, when all are available: nobody ever sees half of them
	stepReplace    struct{ nothingToUndo } // gives the new images the name that old ones have, for force_deregister
)

// Run implements multistep.Step.
func (*stepAccess) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return runStep(ctx, state, bake.PhasePrepare, findAccount)
}

// Run implements multistep.Step.
func (*stepPayload) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return runStep(ctx, state, bake.PhasePrepare, preparePayload)
}

// Run implements multistep.Step.
func (*stepCheck) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	action := runStep(ctx, state, bake.PhasePrepare, checkAccount)
	if action == multistep.ActionContinue {
		data := unpack(state).buildData()
		data.publish(state)
		hideInputs(state)
	}
	return action
}

// Run implements multistep.Step.
func (*stepReuse) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	action := runStep(ctx, state, bake.PhasePrepare, reuseUnchanged)
	if action == multistep.ActionContinue {
		b := unpack(state)
		publishInputs(state, b.inputs, b.isReused())
	}
	return action
}

// Run implements multistep.Step.
func (*stepStage) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return unlessReused(ctx, state, bake.PhaseStage, stageFiles)
}

// Run implements multistep.Step.
func (*stepGroup) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return unlessReused(ctx, state, bake.PhaseStage, makeGroup)
}

// Run implements multistep.Step.
func (*stepProfile) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return unlessReused(ctx, state, bake.PhaseStage, makeProfile)
}

// Run implements multistep.Step.
func (*stepMachine) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	action := unlessReused(ctx, state, bake.PhaseStage, bakeOnMachine)
	if m := unpack(state).machine; m != nil && m.ID != "" {
		state.Put("instance_id", m.ID) // Packer's build.ID
		// Packer has taken it for the post-processors before there was a machine.
		(&packerbuilderdata.GeneratedData{State: state}).Put("ID", m.ID)
	}
	return action
}

// Run implements multistep.Step.
func (*stepImage) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return unlessReused(ctx, state, bake.PhaseImage, makeImage)
}

// Run implements multistep.Step.
func (*stepCopies) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return unlessReused(ctx, state, bake.PhaseImage, func(ctx context.Context, b *build) error {
		return b.images.CopyAll(ctx, b.first)
	})
}

// Run implements multistep.Step.
func (*stepAttributes) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return runStep(ctx, state, bake.PhaseImage, func(ctx context.Context, b *build) error {
		return b.images.ApplyAttributes(ctx)
	})
}

// Run implements multistep.Step.
func (*stepReplace) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return unlessReused(ctx, state, bake.PhaseImage, func(ctx context.Context, b *build) error {
		return b.images.Replace(ctx)
	})
}

// stepProtect protects the images from being deregistered and completes them. Then nothing removes them any more, and
// output_file gets to its place.
type stepProtect struct {
	nothingToUndo
	output *stepOutput
}

// Run implements multistep.Step.
func (s *stepProtect) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	if action := runStep(ctx, state, bake.PhaseImage, completeImages); action != multistep.ActionContinue {
		return action
	}
	if err := s.output.commit(context.WithoutCancel(ctx), unpack(state)); err != nil {
		state.Put(keyError, err) // even if the bake is cancelled now: it has images
		return multistep.ActionHalt
	}
	return multistep.ActionContinue
}

// runStep runs what a step does as part of a phase, and halts the build when that fails.
func runStep(
	ctx context.Context, state multistep.StateBag, phase string, do func(context.Context, *build) error,
) multistep.StepAction {
	b := unpack(state)
	b.Phases.Enter(phase)
	if errorIn(state) != nil { // of the step's last run, which the user has Packer try again
		state.Remove(keyError) // without a lock, so never beside an interrupt of a build without an error
	}
	if err := do(ctx, b); err != nil {
		return halt(ctx, state, err)
	}
	return multistep.ActionContinue
}

// unlessReused is runStep for what is left out when there is nothing to bake.
func unlessReused(
	ctx context.Context, state multistep.StateBag, phase string, do func(context.Context, *build) error,
) multistep.StepAction {
	if unpack(state).isReused() {
		return multistep.ActionContinue
	}
	return runStep(ctx, state, phase, do)
}

// halt ends the build with an error. When the build was cancelled, that is the error: what else went wrong, went wrong
// because of it.
func halt(ctx context.Context, state multistep.StateBag, err error) multistep.StepAction {
	if ctx.Err() != nil {
		err = bake.ErrCancelled
	}
	state.Put(keyError, err)
	return multistep.ActionHalt
}

// nothingToUndo is embedded in steps whose traces are in the ledger, which is where they are undone.
type nothingToUndo struct{}

// Cleanup does nothing.
func (nothingToUndo) Cleanup(multistep.StateBag) {}
