// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// The keys of Packer's own things in the state bag. Everything of this package is behind the one key of the bake.
const (
	keyError = "error"
	keyHook  = "hook"
	keyUI    = "ui"
	keyComm  = "communicator_config"
	keyBake  = "bakery_bake"
)

// bake is the state of one bake: what its steps have been told, found out, and made so far.
type bake struct {
	config *Config
	ui     packersdk.Ui
	id     string // 16 hex digits that every report, tag and staged file of this bake carries
	load   func(context.Context, *awsconfig.Settings) (aws.Config, error)

	aws    clients
	turns  turns          // of launches
	store  *staging.Store // nil without staging
	clock  clock          // AWS's
	ledger ledger
	phases phases
	swept  chan struct{}   // closed when the sweep has ended; nil without one
	hurry  <-chan struct{} // closed when the user has interrupted again; nil where nobody can

	payload  payload
	inputs   *inputs     // what the image is made of, as soon as that is known
	reused   bool        // nothing is baked: an image of the same inputs is there
	source   types.Image // the image the machine starts from
	network  network
	fsKey    string      // where fs.tgz is staged
	staged   string      // the folder of what only this bake uses; see folder
	key      guest.Key   // what the machine encrypts its lines with
	told     logRecord   // what the machines have told
	logSaved bool        // to log_file
	mute     bool        // the user data has no room for what tells lines
	machine  *machine    // of the newest attempt
	profile  string      // the instance profile of the machine
	home     *place      // the region of the build
	places   []*place    // the regions that are to have the image
	done     bool        // the images are there and stay
	first    types.Image // what was made of the machine: the image of the build's region, or what the image is copied from
}

// network is where the machine may be attached. Without a subnet it is in one of the account's default ones, by EC2's
// choice.
type network struct {
	vpc     string
	subnets []site // the best first
	groups  []string
	made    time.Time // when this bake made the group, if it did
}

// site is where in a region a machine is.
type site struct{ subnet, zone string }

func newBake(config *Config, ui packersdk.Ui) *bake {
	return &bake{
		config:  config,
		ui:      ui,
		id:      guest.NewBakeID(),
		key:     guest.NewKey(),
		machine: new(machine),
		load: func(ctx context.Context, s *awsconfig.Settings) (aws.Config, error) {
			return s.Load(ctx)
		},
	}
}

// unpack is the one place that takes the bake out of the state bag.
func unpack(state multistep.StateBag) *bake {
	return state.Get(keyBake).(*bake) //nolint:forcetypeassert // put there by run, before any step
}

// step runs what a step does as part of a phase, and halts the bake when that fails.
func step(ctx context.Context, state multistep.StateBag, phase string, do func(context.Context, *bake) error) multistep.StepAction {
	b := unpack(state)
	b.phases.enter(phase)
	if err := do(ctx, b); err != nil {
		return halt(ctx, state, err)
	}
	return multistep.ActionContinue
}

// baking is step for what is left out when there is nothing to bake.
func baking(ctx context.Context, state multistep.StateBag, phase string, do func(context.Context, *bake) error) multistep.StepAction {
	if unpack(state).reused {
		return multistep.ActionContinue
	}
	return step(ctx, state, phase, do)
}

// halt ends the bake with an error. When the bake was cancelled, that is the error: what else went wrong, went wrong
// because of it.
func halt(ctx context.Context, state multistep.StateBag, err error) multistep.StepAction {
	if ctx.Err() != nil {
		err = errCancelled
	}
	state.Put(keyError, err)
	return multistep.ActionHalt
}

var errCancelled = errors.New("the bake was cancelled")

// say tells the user something. Presigned URLs and other secrets are blotted out, wherever the text is from.
func (b *bake) say(format string, args ...any) {
	b.ui.Say(blot(fmt.Sprintf(format, args...)))
}

// warn tells the user about something that does not stop the bake, but may explain what will.
func (b *bake) warn(format string, args ...any) {
	b.ui.Error(blot("warning: " + fmt.Sprintf(format, args...)))
}

// nothingToUndo is embedded in steps whose traces are in the ledger, which is where they are undone.
type nothingToUndo struct{}

// Cleanup does nothing.
func (nothingToUndo) Cleanup(multistep.StateBag) {}
