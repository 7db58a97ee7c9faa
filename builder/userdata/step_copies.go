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

// stepCopies copies the image to every region that is to have it and has none yet, all at the same time.
type stepCopies struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepCopies) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return baking(ctx, state, phaseImage, func(ctx context.Context, b *bake) error {
		return inParallel(ctx, b.places, b.copyTo)
	})
}

func (b *bake) copyTo(ctx context.Context, p *place) error {
	if p.imageID() != "" {
		return nil
	}
	o, err := b.outlined(b.firstName(p))
	if err != nil {
		return err
	}
	b.say("Copying %s to %s...", aws.ToString(b.first.ImageId), p.region)
	p.image, err = b.copyImage(ctx, p, copying{
		outline: o, from: aws.ToString(b.first.ImageId), fromRegion: b.home.region, minutes: b.config.copyMinutes(),
		encrypted: b.config.EncryptBoot.ToBoolPointer(), key: b.config.key(p.region, b.home.region),
	})
	return err
}

// copying is an image to copy, and what becomes of it.
type copying struct {
	outline
	from, fromRegion string
	encrypted        *bool  // nil: as it is
	key              string // "" is the account's for EBS
	minutes          *int64
}

// copyImage copies an image into a region and waits until it is available there. Its client token makes the call safe to
// make again when the answer is lost.
func (b *bake) copyImage(ctx context.Context, p *place, c copying) (types.Image, error) {
	in := &ec2.CopyImageInput{
		ClientToken: aws.String(b.id + "-" + p.region + "-" + c.from), Name: aws.String(c.name), Description: some(c.description),
		SourceImageId: aws.String(c.from), SourceRegion: aws.String(c.fromRegion),
		Encrypted: c.encrypted, KmsKeyId: some(c.key), SnapshotCopyCompletionDurationMinutes: c.minutes,
		TagSpecifications: c.tags(),
	}
	image, err := b.make(ctx, p, c.name, func(ctx context.Context) (*string, error) {
		out, err := p.api.CopyImage(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.ImageId, nil
	})
	if err != nil {
		return image, fmt.Errorf("copy %s to %s: %w", c.from, p.region, err)
	}
	return image, nil
}
