// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"github.com/hashicorp/packer-plugin-sdk/multistep/commonsteps"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/instance"
	"github.com/amibakery/packer-plugin-bakery/internal/instanceprofile"
	"github.com/amibakery/packer-plugin-bakery/internal/machinelog"
	"github.com/amibakery/packer-plugin-bakery/internal/network"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
	"github.com/amibakery/packer-plugin-bakery/internal/reuse"
)

// Run bakes the image. It returns no artifact with skip_create_ami.
func (b *Builder) Run(ctx context.Context, ui packersdk.Ui, hook packersdk.Hook) (packersdk.Artifact, error) {
	ctx, hurry, stop := contextUntilPackerEnds(ctx)
	defer stop()
	build := newBuild(&b.config, ui)
	build.hurry = hurry
	return build.run(ctx, hook)
}

// steps are the bake, in order. What costs money begins with stepMachine.
func (b *build) steps(sweep *stepSweep) []multistep.Step {
	if b.config.SweepOnly {
		return []multistep.Step{&stepLedger{}, &stepAccess{}, &stepSweepOnly{}}
	}
	steps := []multistep.Step{
		&stepLedger{}, // undoes everything at the end
		&stepAccess{},
		sweep,
		&stepPayload{},
		&stepCheck{},
		newStepProvision(),
		&stepReuse{},
		&stepStage{},
		&stepGroup{},
		&stepProfile{},
		&stepLog{}, // saves the log at the end
		&stepMachine{},
	}
	if !b.config.SkipCreateAMI {
		output := &stepOutput{}
		steps = append(steps, &stepImage{}, &stepCopies{}, &stepAttributes{}, &stepReplace{},
			output, &stepProtect{output: output})
	}
	return steps
}

func (b *build) run(ctx context.Context, hook packersdk.Hook) (packersdk.Artifact, error) {
	state := new(multistep.BasicStateBag)
	state.Put(keyUI, b.UI)
	state.Put(keyHook, hook)
	state.Put(keyBuild, b)

	sweep := new(stepSweep)
	commonsteps.NewRunner(b.steps(sweep), b.config.PackerConfig, b.UI).Run(ctx, state)
	sweep.wait()

	b.reportLeftovers()
	b.Say("Seconds spent: %s", b.Phases.End())
	err := outcome(state)
	switch {
	case errors.Is(err, bake.ErrCancelled) && b.images != nil && b.images.IsReleased(): // while it was cleaning up
		b.Say("Cancelled when the image was complete, so it stays")
	case err != nil:
		return nil, redact.Error(b.withKeptImages(err))
	}
	switch {
	case b.config.SweepOnly:
		return nil, nil //nolint:nilnil // Packer's way to say that there is no artifact
	case b.config.SkipCreateAMI:
		b.Say("The machine has baked; skip_create_ami makes no image of it")
		return nil, nil //nolint:nilnil // Packer's way to say that there is no artifact
	}
	return newArtifact(b, state), nil
}

// findAccount finds the account and the region. It comes first, because it takes a moment, and compiling may take long.
func findAccount(ctx context.Context, b *build) error {
	settings := &b.config.Settings
	cfg, err := b.load(ctx, settings)
	if err != nil {
		return err
	}
	if cfg.Credentials == nil {
		return errNoCredentials
	}
	signing := &signingCredentials{settings.NewCredentials(cfg.Credentials), b.config}
	cfg.Credentials = signing.Credentials
	clients := awscall.New(cfg, func(cfg aws.Config) *ec2.Client { return awsconfig.EC2(cfg, settings) })
	credentials, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return signing.explain(err)
	}
	if err := signing.check(ctx, b.config.signedURLLife()); err != nil {
		return err
	}
	warnOfSession(b, credentials)
	id, err := findAccountID(ctx, b, &clients)
	if err != nil {
		return err
	}
	b.account.clients, b.CLI.Region = clients, clients.Region()
	b.account.slots = instance.NewLaunchSlots(cfg, cmp.Or(id, credentials.AccessKeyID))
	b.images = ami.NewMaker(b.Bake, clients, b.config.imageSettings(), func(name string) (ami.Spec, error) {
		return imageSpec(b, name)
	})
	b.stage, err = openStage(b.Bake, cfg, b.config.Staging, id, signing)
	return err
}

var errNoCredentials = errors.New("find AWS credentials: set access_key and secret_key, profile, or the environment")

// checkAccount looks for everything in the account that would make the bake fail later, when it has cost money. Like
// validating, it reports all problems at once.
func checkAccount(ctx context.Context, b *build) error {
	unseen := new(awscall.Unseen)
	err := errors.Join(
		b.images.CheckNames(ctx, b.config.ReuseUnchanged),
		findSource(ctx, b, unseen),
		findNetwork(ctx, b),
		findProfile(ctx, b),
		b.stage.check(ctx, b.payload.document != nil, unseen),
		checkFiles(b.config),
	)
	if rights := unseen.Rights(); err == nil && len(rights) > 0 {
		b.Warn("some settings of the account that would make the bake fail later cannot be looked at: allow %s to the "+
			"credentials, as the policies in docs/iam do", strings.Join(rights, " and "))
	}
	return err
}

// findSource finds the image to start from, and checks everything that depends on it.
func findSource(ctx context.Context, b *build, unseen *awscall.Unseen) error {
	clients := &b.account.clients
	source, err := ami.FindSource(ctx, &b.config.SourceConfig, clients.EC2, clients.SSM)
	if err != nil {
		return err
	}
	b.account.source = source
	b.Say("Starting from %s (%s)", aws.ToString(source.ImageId), aws.ToString(source.Name))
	if err := ami.CheckRootDevice(&source); err != nil {
		return err
	}
	return errors.Join(
		findTypes(ctx, b),
		checkRenderedTexts(b),
		b.images.CheckSource(&source, b.config.LaunchBlockDevices),
		b.images.CheckAccount(ctx, &source, b.config.LaunchBlockDevices, unseen),
	)
}

// findTypes looks up the instance types.
func findTypes(ctx context.Context, b *build) (err error) {
	clients, machine := &b.account.clients, b.config.machineSettings()
	b.account.types, err = machine.FindTypes(ctx, clients.EC2, &b.Clock, clients.Region(), &b.account.source)
	if warning := machine.LateConsoleWarning(b.account.types); warning != "" && b.config.Staging == nil {
		b.Warn("%s", warning)
	}
	return err
}

func findNetwork(ctx context.Context, b *build) (err error) {
	b.account.network, err = network.Find(ctx, &b.config.AttachConfig, b.account.clients.EC2)
	return err
}

func findProfile(ctx context.Context, b *build) error {
	b.account.profile = b.config.IamInstanceProfile
	return instanceprofile.CheckExists(ctx, &b.config.ProfileConfig, b.account.clients.IAM, b.Say)
}

// reuseUnchanged records what the image will be made of and, for reuse_unchanged, takes an image of the same inputs
// instead of baking. It comes when all inputs are known, and before the first thing is made.
func reuseUnchanged(ctx context.Context, b *build) (err error) {
	if b.config.SkipCreateAMI {
		return nil
	}
	if b.inputs, err = findInputs(b); err != nil || !b.config.ReuseUnchanged {
		return err
	}
	if b.config.PackerForce {
		b.Say("Baking whether something has changed or not, because of -force")
		return b.images.CheckNames(ctx, false)
	}
	images, why, err := reuse.FindUnchanged(ctx, b.images.Regions(), b.inputs)
	switch {
	case err != nil:
		return err
	case len(images) > 0:
		b.images.UseExisting(images)
		b.Say("Nothing has changed since %s was made, so it is not baked again (reuse_unchanged)",
			ami.Describe(&images[0]))
		return nil
	case why != "":
		b.Say("Baking, although nothing has changed: %s", why)
	default:
		text, err := reuse.WhatChanged(ctx, b.images.Regions()[0], b.inputs)
		if err != nil {
			return err
		}
		b.Say("%s", text)
	}
	return b.images.CheckNames(ctx, false)
}

// stageFiles uploads fs/ and the recorded provisioners for the machine to fetch.
func stageFiles(ctx context.Context, b *build) error {
	if b.stage == nil {
		return nil
	}
	b.stage.setFolder(b.Expiry(), b.payload.fs.Size+b.payload.recording.archive.Size)
	if err := b.stage.putFS(ctx, &b.payload.fs); err != nil {
		return err
	}
	return b.stage.putRecording(ctx, &b.payload.recording.archive)
}

// makeGroup makes a security group that lets nothing in, when the template names none. The VPC's default group would
// let in its own members.
func makeGroup(ctx context.Context, b *build) error {
	n := &b.account.network
	if len(n.Groups) > 0 {
		return nil
	}
	tags, err := b.config.RunTagsOf(b.Bake, b.render)
	if err != nil {
		return err
	}
	group, err := network.MakeGroup(ctx, b.Bake, b.account.clients.EC2, n.VPC, tags)
	if err != nil {
		return err
	}
	n.Groups, n.GroupMade = []string{group.ID}, group.Made
	return nil
}

// makeProfile makes a role and an instance profile of the template's temporary policy.
func makeProfile(ctx context.Context, b *build) error {
	if b.config.TemporaryProfilePolicy == nil {
		return nil
	}
	tags, err := b.config.RunTagsOf(b.Bake, b.render)
	if err != nil {
		return err
	}
	b.account.profile, err = instanceprofile.Make(ctx, b.Bake, &b.account.clients, b.config.TemporaryProfilePolicy,
		tags)
	return err
}

// bakeOnMachine launches a machine, watches it, and finds out what became of it. It is one step because AWS may take a
// Spot Instance back, and then all of it begins again.
func bakeOnMachine(ctx context.Context, b *build) error {
	launcher := &instance.Launcher{
		Bake: b.Bake, EC2: b.account.clients.EC2, Settings: b.config.machineSettings(), Slots: b.account.slots,
		Types: b.account.types, MaxRetries: b.config.MaxRetries, Render: b.render,
		Zone: b.config.AvailabilityZone, PublicIP: b.config.AssociatePublicIPAddress.ToBoolPointer(),
	}
	var err error
	b.machine, err = launcher.Run(ctx, instance.Spec{
		Image: b.account.source, Network: b.account.network,
		InstanceProfile: b.account.profile, ProfileIsNew: b.config.TemporaryProfilePolicy != nil,
		UserData: func(ctx context.Context, attempt int) ([]byte, *machinelog.Log, error) {
			return launchUserData(ctx, b, attempt)
		},
	})
	if err != nil { // now, because nothing is cleaned up with -on-error=abort
		saveFailureLog(ctx, b)
	}
	return err
}

// makeImage makes an image of the stopped machine, and waits until it is available.
func makeImage(ctx context.Context, b *build) error {
	err := b.machine.SetEnhancedNetworking(ctx, b.config.ENASupport.ToBoolPointer(), b.config.SriovSupport)
	if err != nil {
		return err
	}
	b.first, err = b.images.Create(ctx, &ami.Machine{
		ID: b.machine.ID, Source: b.account.source, Devices: b.config.LaunchBlockDevices, MayStop: b.machine.MayStop,
	})
	return err
}

// completeImages protects the images, and takes the tags off that say when they expire.
func completeImages(ctx context.Context, b *build) error {
	if err := b.images.Protect(ctx); err != nil {
		return err
	}
	if err := b.images.Complete(ctx); err != nil {
		return err
	}
	b.images.Release()
	return nil
}

// errorIn returns the error of the step that failed, or nil.
func errorIn(state multistep.StateBag) error {
	err, _ := state.Get(keyError).(error)
	return err
}

// outcome returns the error that a build ended with, or nil.
func outcome(state multistep.StateBag) error {
	if err := errorIn(state); err != nil {
		return err
	}
	if _, ok := state.GetOk(multistep.StateCancelled); ok {
		return bake.ErrCancelled
	}
	if _, ok := state.GetOk(multistep.StateHalted); ok {
		return errors.New("the bake was halted")
	}
	return nil
}

// withKeptImages adds to an error which new images are there in spite of it.
func (b *build) withKeptImages(err error) error {
	if b.images == nil {
		return err
	}
	if left := slices.Clone(b.images.KeptImages()); len(left) > 0 {
		return fmt.Errorf("%w\nkept, because what it was to replace is gone: %s", err, strings.Join(left, "; "))
	}
	return err
}

// reportLeftovers names what still exists, with the commands that remove it, and says how to look at a machine that was
// left.
func (b *build) reportLeftovers() {
	if b.ReportLeftovers() && b.machine != nil && b.machine.ID != "" {
		b.machine.ReportHowToInspect()
	}
}
