// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"

	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepLog saves the log of the machine when the bake ends, before what is staged is removed. It stands in front of the step
// that bakes.
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
		path = b.config.failureLog()
	}
	b.saveLog(context.Background(), path)
	b.told.close()
}
