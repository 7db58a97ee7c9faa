// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

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
	path := b.config.LogFile
	if outcome(state) != nil {
		path = b.config.FailurePath(b.config.AMIName, b.config.OutputFile)
	}
	saveLog(context.Background(), b, path)
	b.log.record.Close()
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
