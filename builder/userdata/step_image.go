// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepImage makes an image of the stopped machine and waits until it can be used: the image itself, or one that the image
// is made of.
type stepImage struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepImage) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return baking(ctx, state, phaseImage, makeImage)
}

func makeImage(ctx context.Context, b *bake) error {
	if err := b.changeMachine(ctx); err != nil {
		return err
	}
	if err := b.openPlaces(ctx); err != nil {
		return err
	}
	name := b.firstName(b.home)
	if b.config.viaIntermediary() {
		name = b.temporaryName(forCopies)
	}
	o, err := b.outlined(name)
	if err != nil {
		return err
	}
	b.say("Making the image %s...", b.config.AMIName)
	image, err := b.createOrRegister(ctx, o)
	if err != nil {
		return err
	}
	b.first = image
	if !b.config.viaIntermediary() {
		b.home.image = image
	}
	return nil
}

// viaIntermediary tells whether the image is a copy even in the region of the build: EC2 encrypts what it copies.
func (c *CopyConfig) viaIntermediary() bool { return c.EncryptBoot.True() || c.SkipSaveBuildRegion }

func (b *bake) createOrRegister(ctx context.Context, o outline) (types.Image, error) {
	if !b.reboots() {
		return b.create(ctx, o)
	}
	raw := o
	raw.name = b.temporaryName(forRegister)
	image, err := b.create(ctx, raw)
	if err != nil {
		return image, err
	}
	return b.register(ctx, &image, o)
}

// description is the template's, or made of the name and the version.
func (b *bake) description() (string, error) {
	if b.config.AMIDescription != "" {
		return b.render("ami_description", b.config.AMIDescription)
	}
	if v := b.version(); v != "" {
		return b.imageTitle() + " " + v, nil
	}
	return b.imageTitle(), nil
}

// changeMachine marks the stopped machine as able to use enhanced networking, which its image takes over. EC2 changes one
// attribute in a call.
func (b *bake) changeMachine(ctx context.Context) error {
	var changes []*ec2.ModifyInstanceAttributeInput
	if b.config.SriovSupport {
		changes = append(changes, &ec2.ModifyInstanceAttributeInput{
			SriovNetSupport: &types.AttributeValue{Value: aws.String("simple")}, // the one value there is
		})
	}
	if ena := b.config.ENASupport.ToBoolPointer(); ena != nil {
		changes = append(changes, &ec2.ModifyInstanceAttributeInput{EnaSupport: &types.AttributeBooleanValue{Value: ena}})
	}
	for _, in := range changes {
		in.InstanceId = aws.String(b.machine.id)
		unsettled := func(err error) bool { return notInState(err) || notYet(b.machine.launched, codeInstanceNotFound)(err) }
		err := retryWhile(ctx, stateTimeout, unsettled, func(ctx context.Context) error {
			_, err := b.aws.ec2.ModifyInstanceAttribute(ctx, in)
			return err
		})
		if err != nil {
			return fmt.Errorf("set ena_support or sriov_support of %s: %w", b.machine.id, err)
		}
	}
	return nil
}
