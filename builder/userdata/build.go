// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/instance"
	"github.com/amibakery/packer-plugin-bakery/internal/machinelog"
	"github.com/amibakery/packer-plugin-bakery/internal/network"
	"github.com/amibakery/packer-plugin-bakery/internal/reuse"
)

// The keys of Packer's own things in the state bag. Everything of this package is behind the one key of the build.
const (
	keyError = "error"
	keyHook  = "hook"
	keyUI    = "ui"
	keyComm  = "communicator_config"
	keyBuild = "bakery_build"
)

// build is one run of the builder: what its steps have found and made so far, for the steps after them.
type build struct {
	*bake.Bake
	config *Config
	load   func(context.Context, *awsconfig.Settings) (aws.Config, error)
	hurry  <-chan struct{} // closed when the user has interrupted twice; nil where nobody can

	account account            // as stepAccess and stepCheck have found it
	stage   *stage             // nil without staging
	payload payload            // what goes to the machine
	inputs  *reuse.Inputs      // what the image is made of, as soon as that is known
	log     machineLogs        // what the machines say
	machine *instance.Instance // the newest one, if there was any
	images  *ami.Maker         // nil before stepAccess
	first   types.Image        // what was made of the machine: the image itself, or what it is copied from
}

// account is what a build has found in the account, or made there for its machine.
type account struct {
	clients awscall.Clients
	slots   instance.LaunchSlots
	source  types.Image // the image the machine starts from
	types   instance.Hypervisors
	network network.Network
	profile string // the instance profile of the machine
}

// machineLogs is where the lines of all machines of a build go, and what they encrypt them with.
type machineLogs struct {
	record *machinelog.Record
	key    guest.Key // encrypts lines on the console
	// newReportKey returns a key for the reports of one machine.
	newReportKey func() guest.Key
}

func newBuild(config *Config, ui packersdk.Ui) *build {
	b := &bake.Bake{
		ID: guest.NewBakeID(), ImageName: config.AMIName, UI: ui, Lifetime: config.lifetime(),
		CLI: bake.CLI{Profile: config.Profile},
	}
	return &build{
		Bake:   b,
		config: config,
		log: machineLogs{
			record: machinelog.NewRecord(b, config.Staging != nil), key: guest.NewKey(), newReportKey: guest.NewKey,
		},
		load: func(ctx context.Context, s *awsconfig.Settings) (aws.Config, error) {
			return s.Load(ctx, config.signedURLLife())
		},
	}
}

// unpack is the one place that takes the build out of the state bag.
func unpack(state multistep.StateBag) *build {
	return state.Get(keyBuild).(*build) //nolint:forcetypeassert // put there by run, before any step
}

// isReused reports whether nothing is baked, because an image of the same inputs is there.
func (b *build) isReused() bool { return b.images != nil && b.images.IsExisting() }

// buildData returns what is known of the bake for templates.
func (b *build) buildData() buildData {
	return newBuildData(b.account.clients.Region(), b.ID, &b.account.source)
}

// render fills in the build data of a setting. It is for use once the source image is known.
func (b *build) render(setting, text string) (string, error) {
	data := b.buildData()
	return data.render(b.config.ctx, setting, text)
}
