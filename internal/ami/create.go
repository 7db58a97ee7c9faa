// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// Machine is a stopped instance, of which an image is made.
type Machine struct {
	ID      string
	Source  types.Image               // what it was launched from
	Devices []blockdevice.BlockDevice // the disks that its launch named
	// MayStop reports whether it has stopped, or may soon: nobody has started or terminated it meanwhile.
	MayStop func(context.Context) bool
}

// Create makes an image of a machine and waits until it is available. The result is the image of the build's region, or
// an intermediary image, and what CopyAll copies.
func (m *Maker) Create(ctx context.Context, machine *Machine) (types.Image, error) {
	if err := m.findImagesToReplace(ctx); err != nil {
		return types.Image{}, err
	}
	name := m.initialName(m.home)
	if m.settings.Copy.UsesIntermediary() {
		name = m.temporaryName(purposeCopy)
	}
	spec, err := m.spec(name)
	if err != nil {
		return types.Image{}, err
	}
	m.bake.Say("Making the image %s...", m.settings.Image.AMIName)
	image, err := m.createOrRegister(ctx, machine, spec)
	if err == nil && !m.settings.Copy.UsesIntermediary() {
		m.home.Image = image
	}
	return image, err
}

// findImagesToReplace looks up, for force_deregister, the images that have the name. It does so now and not when the
// bake begins, which may be an hour ago.
func (m *Maker) findImagesToReplace(ctx context.Context) error {
	if !m.settings.Image.ForceDeregister {
		return nil
	}
	return ForEachRegion(ctx, m.targets, func(ctx context.Context, t *RegionTarget) (err error) {
		t.old, err = m.imagesWithName(ctx, t)
		for i := range t.old {
			err = errors.Join(err, m.checkReplaceable(t, &t.old[i]), t.checkSeen(&t.old[i]))
		}
		return err
	})
}

// createOrRegister makes the image directly, or by way of another one when the boot mode is to differ from the source
// image's.
func (m *Maker) createOrRegister(ctx context.Context, machine *Machine, spec Spec) (types.Image, error) {
	if !m.settings.Attributes.changesBootMode(&machine.Source) {
		return m.create(ctx, machine, spec)
	}
	raw := spec
	raw.Name = m.temporaryName(purposeRegister)
	image, err := m.create(ctx, machine, raw)
	if err != nil {
		return image, err
	}
	return m.register(ctx, &image, m.settings.Attributes.bootMode(&machine.Source), spec)
}

func (m *Maker) create(ctx context.Context, machine *Machine, spec Spec) (types.Image, error) {
	in := m.createInput(machine, spec)
	return m.makeImage(ctx, m.home, spec.Name, func(
		ctx context.Context, opts ...func(*ec2.Options),
	) (*string, error) {
		out, err := m.home.EC2.CreateImage(ctx, in, opts...)
		switch {
		case awscall.IsWrongState(err) && !machine.MayStop(ctx):
			return nil, fmt.Errorf("make an image of %s: %w: %w", machine.ID, errNotStopped, err)
		case err != nil:
			return nil, fmt.Errorf("make an image of %s: %w", machine.ID, err)
		}
		return out.ImageId, nil
	})
}

// errNotStopped is for a machine that somebody else has started or terminated.
var errNotStopped = errors.New("somebody has started or terminated it meanwhile")

func (m *Maker) createInput(machine *Machine, s Spec) *ec2.CreateImageInput {
	in := &ec2.CreateImageInput{
		InstanceId: aws.String(machine.ID), Name: aws.String(s.Name),
		Description: awscall.NonZeroPtr(s.Description), TagSpecifications: s.tags(),
	}
	devices := m.settings.Image.AMIBlockDevices
	for i := range devices {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, devices[i].ImageMapping())
	}
	in.BlockDeviceMappings = append(in.BlockDeviceMappings, blockdevice.KeptOnTermination(machine.Devices, devices)...)
	return in
}

// stateTimeout is how long the part of EC2 that makes images may take to see that an instance has stopped, or that a
// name is free.
const stateTimeout = 2 * time.Minute

// sourceNotFound are the codes that say that what an image is made of does not exist. It existed a moment ago, but
// not all of EC2 may know that yet.
var sourceNotFound = []string{
	awscall.CodeImageNotFound, awscall.CodeInstanceNotFound, awscall.CodeSnapshotNotFound,
}

// errNoImage is for an answer that was cut off: to the SDK, an answer of no bytes is one of no values.
var errNoImage = errors.New("EC2 answered without the id of an image")

// imageCall is a call that makes an image.
type imageCall func(ctx context.Context, opts ...func(*ec2.Options)) (id *string, err error)

// refusals are the codes that say that a call has had no effect.
var refusals = append([]string{
	awscall.CodeImageNameTaken, awscall.CodeInstanceState, awscall.CodeState, awscall.CodeParameterValue,
	"UnauthorizedOperation", "AccessDenied", "AccessDeniedException",
}, sourceNotFound...)

// makeImage makes the call that makes an image, and waits until the image is available. When the answer of the call
// is lost, the call may have taken effect, and the next attempt is refused because the name is taken. So an image
// that has the name and the bake's tag then counts as the one that the call has made. Without a lost answer it is
// somebody else's, whatever its tags.
func (m *Maker) makeImage(ctx context.Context, t *RegionTarget, name string, call imageCall) (types.Image, error) {
	m.addToLedger(t)
	var id string
	var attempt awscall.Attempt
	lost := false
	again := func(err error) bool {
		return awscall.IsWrongState(err) && !errors.Is(err, errNotStopped) || awscall.HasCode(err, sourceNotFound...) ||
			t.oldGone && awscall.HasCode(err, awscall.CodeImageNameTaken)
	}
	err := awscall.RetryWhile(ctx, stateTimeout, again, func(ctx context.Context) error {
		own, cancel := awscall.Uninterruptible(ctx)
		defer cancel()
		answer, err := call(own, attempt.Track)
		if id = aws.ToString(answer); err == nil && id != "" {
			return nil
		}
		if err == nil {
			err = errNoImage
		}
		isRefusal := awscall.HasCode(err, refusals...) || awscall.IsWrongState(err) || awscall.IsThrottled(err)
		lost = lost || attempt.MayBeApplied() || !isRefusal
		mayBeMade := awscall.IsTransient(err) || awscall.HasCode(err, awscall.CodeImageNameTaken)
		if !mayBeMade && !errors.Is(err, errNoImage) {
			return err
		}
		ours, other := m.findNamed(own, t, name, lost)
		switch {
		case ours != "":
			id = ours
			return nil
		case t.oldGone && other != "":
			t.oldGone = false // the name is not without an image
			return fmt.Errorf("the name was given to %s meanwhile, by another bake: %w", other, err)
		}
		return err
	})
	if err != nil {
		if lost {
			t.lost = append(t.lost, name)
		}
		return types.Image{}, err
	}
	t.track(id)
	ownership.Tag(ctx, m.bake, t.EC2, id)
	m.bake.Say("Image %s is being made%s", id, m.inWhichRegion(t))
	return m.waitUntilAvailable(ctx, t, id)
}

// findNamed looks up which image has a name. It returns its id as own when this bake has made it, which is possible
// only after a lost answer, or as other when somebody else has and it is not an image to replace. Both are "" when no
// image has the name, or the call fails.
func (m *Maker) findNamed(ctx context.Context, t *RegionTarget, name string, lost bool) (own, other string) {
	images, err := WithName(ctx, t.EC2, t.Region, name)
	if err != nil {
		return "", ""
	}
	for i := range images {
		id := aws.ToString(images[i].ImageId)
		isOld := slices.ContainsFunc(t.old, func(old types.Image) bool { return aws.ToString(old.ImageId) == id })
		switch {
		case lost && m.mayHaveMade(&images[i]):
			own = id
		case !isOld:
			other = id
		}
	}
	return own, other
}

// mayHaveMade reports whether an image whose name EC2 was asked for is the one that a call has made whose answer was
// lost, as far as its tags say. Another image cannot have the name.
func (m *Maker) mayHaveMade(image *types.Image) bool {
	tags := awscall.TagMap(image.Tags)
	return tags[bake.TagBake] == m.bake.ID && !ownership.IsCopy(tags, aws.ToString(image.ImageId))
}

// pollFraction is the part of the wait that may be lost by looking late: one thirtieth.
const pollFraction = 30

// waitUntilAvailable waits until an image is available and returns it. For a moment, EC2 may not know the image.
func (m *Maker) waitUntilAvailable(ctx context.Context, t *RegionTarget, id string) (types.Image, error) {
	limit := m.settings.Image.ImageTimeout
	timeout := fmt.Errorf("image_timeout of %s is over and image %s in %s is not available", limit, id, t.Region)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, timeout)
	defer cancel()
	var image types.Image
	guard := new(awscall.ThrottleGuard)
	next := guard.Backoff(awscall.FractionOfWait(time.Now(), pollFraction, m.settings.Image.ImagePollInterval))
	err := awscall.Poll(ctx, next, func(ctx context.Context) (bool, error) {
		wait := ctx
		ctx, cancel := awscall.WithCallTimeout(ctx)
		defer cancel()
		out, err := t.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}}, guard.RetryOnce)
		guard.Observe(wait, err)
		switch {
		case awscall.HasCode(err, awscall.CodeImageNotFound) || awscall.IsTransient(err):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("look at image %s in %s: %w", id, t.Region, err)
		case len(out.Images) == 0:
			return false, nil
		}
		image = out.Images[0]
		return isAvailable(&image)
	})
	if err == timeout { //nolint:errorlint // only this very error
		err = guard.Annotate(err)
	}
	return image, err
}

// isAvailable reports whether an image is available. An image that will never be available is an error.
func isAvailable(image *types.Image) (bool, error) {
	switch image.State {
	case types.ImageStateAvailable:
		return true, nil
	case types.ImageStatePending, types.ImageStateTransient:
		return false, nil
	}
	why := "EC2 gives no reason"
	if r := image.StateReason; r != nil {
		why = fmt.Sprintf("%s (%s)", aws.ToString(r.Message), aws.ToString(r.Code))
	}
	return true, fmt.Errorf("image %s is %s: %s", aws.ToString(image.ImageId), image.State, why)
}
