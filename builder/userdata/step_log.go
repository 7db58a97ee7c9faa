// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/machinelog"
)

// stepLog saves the log of the machine when the bake ends, before what is staged is removed. It stands in front of the
// step that bakes.
type stepLog struct{}

// Run implements multistep.Step.
func (*stepLog) Run(context.Context, multistep.StateBag) multistep.StepAction {
	return multistep.ActionContinue
}

// Cleanup writes log_file.
func (*stepLog) Cleanup(state multistep.StateBag) {
	b := unpack(state)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if errors.Is(outcome(state), bake.ErrCancelled) {
		cancel() // the user waits
	}
	if outcome(state) != nil {
		saveFailureLog(ctx, b)
	} else {
		saveLog(ctx, b, b.config.LogFile)
	}
	b.log.record.Close()
}

// saveFailureLog writes the log of a bake that has failed.
func saveFailureLog(ctx context.Context, b *build) {
	path, err := b.config.FailurePath(b.config.AMIName, b.ID)
	if err != nil {
		b.Warn("the log of the machine is not kept, set log_file: %s", err)
		return
	}
	saveLog(ctx, b, path)
}

// saveLog writes what the newest machine has said to a file.
func saveLog(ctx context.Context, b *build, path string) {
	var log *machinelog.Log
	var id string
	if b.machine != nil {
		log, id = b.machine.Log, b.machine.ID
	}
	b.log.record.Save(ctx, path, log, id)
}
