// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// What an image under a temporary name is for.
const (
	forCopies   = "intermediary" // others are copied from it
	forRegister = "raw"          // another one is registered of its snapshots
	forName     = "new"          // it waits for the name
)

// temporaryName is a name that nothing else has, and that says whose image it is.
func (b *bake) temporaryName(purpose string) string {
	const longest = 128 // CreateImage's limit
	suffix := fmt.Sprintf(" (%s %s)", purpose, b.id)
	name := b.config.AMIName
	return name[:min(len(name), longest-len(suffix))] + suffix
}

// firstName is the name of a place's image until nothing else has the one that is wanted.
func (b *bake) firstName(p *place) string {
	if len(p.old) > 0 {
		return b.temporaryName(forName)
	}
	return b.config.AMIName
}

// outline is what is said of an image whatever it is made of.
type outline struct {
	name, description string
	image, snapshots  map[string]string // tags
}

// outlined is the outline of an image.
func (b *bake) outlined(name string) (outline, error) {
	image, snapshots, err := b.imageTags()
	if err != nil {
		return outline{}, err
	}
	description, err := b.description()
	return outline{name: name, description: description, image: image, snapshots: snapshots}, err
}

func (o *outline) tags() []types.TagSpecification {
	return []types.TagSpecification{
		tagSpec(types.ResourceTypeImage, o.image), tagSpec(types.ResourceTypeSnapshot, o.snapshots),
	}
}

// create makes an image of the machine.
func (b *bake) create(ctx context.Context, o outline) (types.Image, error) {
	in := b.createInput(o)
	return b.make(ctx, b.home, o.name, func(ctx context.Context) (*string, error) {
		out, err := b.aws.ec2.CreateImage(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("make an image of %s: %w", b.machine.id, err)
		}
		return out.ImageId, nil
	})
}

func (b *bake) createInput(o outline) *ec2.CreateImageInput {
	in := &ec2.CreateImageInput{
		InstanceId: aws.String(b.machine.id), Name: aws.String(o.name), Description: some(o.description), TagSpecifications: o.tags(),
	}
	for i := range b.config.AMIBlockDevices {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, b.config.AMIBlockDevices[i].imageMapping())
	}
	in.BlockDeviceMappings = append(in.BlockDeviceMappings, b.config.outlivingDisks()...)
	return in
}

// outlivingDisks are the disks that are deleted with the machine that bakes, and not with those launched from the image:
// amazon-ebs' default for both. It is what EC2 lets be changed of a disk when it makes an image.
func (c *Config) outlivingDisks() []types.BlockDeviceMapping {
	var all []types.BlockDeviceMapping
	for i := range c.LaunchBlockDevices {
		d := &c.LaunchBlockDevices[i]
		told := d.DeleteOnTermination.True() || d.DeleteOnTermination.False() ||
			slices.ContainsFunc(c.AMIBlockDevices, func(other BlockDevice) bool { return other.DeviceName == d.DeviceName })
		if told || d.NoDevice || d.VirtualName != "" {
			continue
		}
		all = append(all, types.BlockDeviceMapping{
			DeviceName: aws.String(d.DeviceName), Ebs: &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(false)},
		})
	}
	return all
}

// stateTimeout is how long EC2's image maker may take to notice that a machine has stopped, or that a name is free.
const stateTimeout = 2 * time.Minute

// make calls what makes an image, and waits until it is available. When the answer is lost, the call may still have taken
// effect, and a second one be refused because of the name; so an image that has the name and carries this bake's id is
// taken for its own.
func (b *bake) make(ctx context.Context, p *place, name string, call func(context.Context) (*string, error)) (types.Image, error) {
	b.open(p)
	var id string
	again := func(err error) bool {
		// What it is made of was there a moment ago, but maybe not for all of EC2 yet.
		return notInState(err) || hasCode(err, codeImageNotFound, codeInstanceNotFound, codeSnapshotNotFound) || p.gone && hasCode(err, codeImageNameTaken)
	}
	err := retryWhile(ctx, stateTimeout, again, func(ctx context.Context) error {
		own, cancel := settle(ctx)
		defer cancel()
		answer, err := call(own)
		switch {
		case err == nil:
			id = aws.ToString(answer)
		case transient(err) || hasCode(err, codeImageNameTaken):
			if id, _ = b.findOwn(own, p, name); id != "" {
				return nil
			}
		}
		return err
	})
	if err != nil {
		return types.Image{}, err
	}
	p.note(id)
	b.say("Image %s is being made%s", id, b.elsewhere(p))
	return b.await(ctx, p, id)
}

// elsewhere says where something is, unless it is where one expects it.
func (b *bake) elsewhere(p *place) string {
	if p == b.home {
		return ""
	}
	return " in " + p.region
}

// findOwn looks for the image of a call whose answer was lost.
func (b *bake) findOwn(ctx context.Context, p *place, name string) (string, error) {
	images, err := named(ctx, p.region, p.api, name)
	if err != nil {
		return "", err
	}
	for i := range images {
		if tagMap(images[i].Tags)[tagBake] == b.id {
			return aws.ToString(images[i].ImageId), nil
		}
	}
	return "", nil
}

// await waits until an image is available. EC2 may not know it for a moment.
func (b *bake) await(ctx context.Context, p *place, id string) (types.Image, error) {
	limit := b.config.ImageTimeout
	timeout := fmt.Errorf("image_timeout of %s is over and image %s in %s is not available", limit, id, p.region)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, timeout)
	defer cancel()
	var image types.Image
	pulse := new(pulse)
	err := poll(ctx, pulse.stretch(share(time.Now(), thirtieth, b.config.ImagePollInterval)), func(ctx context.Context) (bool, error) {
		wait := ctx
		ctx, cancel := glance(ctx)
		defer cancel()
		out, err := p.api.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}}, pulse.once)
		pulse.heard(wait, err)
		switch {
		case hasCode(err, codeImageNotFound) || transient(err):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("look at image %s in %s: %w", id, p.region, err)
		case len(out.Images) == 0:
			return false, nil
		}
		image = out.Images[0]
		return imageDone(&image)
	})
	if err == timeout { //nolint:errorlint // the very one
		err = pulse.lastly(err)
	}
	return image, err
}

func imageDone(image *types.Image) (bool, error) {
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
