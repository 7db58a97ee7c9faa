// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// CopyAll copies the image that Create has returned to every region that has no image yet, at the same time in all of
// them.
func (m *Maker) CopyAll(ctx context.Context, first types.Image) error {
	return ForEachRegion(ctx, m.targets, func(ctx context.Context, t *RegionTarget) error {
		if t.ImageID() != "" {
			return nil
		}
		return m.copyTo(ctx, t, aws.ToString(first.ImageId))
	})
}

func (m *Maker) copyTo(ctx context.Context, t *RegionTarget, id string) error {
	spec, err := m.spec(m.initialName(t))
	if err != nil {
		return err
	}
	m.bake.Say("Copying %s to %s...", id, t.Region)
	c := m.settings.Copy
	image, err := m.copyImage(ctx, t, copyRequest{
		spec: spec, from: id, fromRegion: m.home.Region, minutes: c.copyMinutes(),
		encrypted: c.EncryptBoot.ToBoolPointer(), key: c.key(t.Region, m.home.Region),
	})
	if err != nil {
		return err
	}
	t.Image = image
	return nil
}

// copyRequest is an image to copy, and what the copy is to be.
type copyRequest struct {
	spec             Spec
	from, fromRegion string
	encrypted        *bool  // nil: as the image is
	key              string // "" is the account's for EBS
	minutes          *int64
}

// copyImage copies an image into a region and waits until the copy is available. The client token makes it safe to
// make the call again when its answer is lost.
func (m *Maker) copyImage(ctx context.Context, t *RegionTarget, c copyRequest) (types.Image, error) {
	in := &ec2.CopyImageInput{
		ClientToken:                           aws.String(m.bake.ID + "-" + t.Region + "-" + c.from),
		Name:                                  aws.String(c.spec.Name),
		Description:                           awscall.NonZeroPtr(c.spec.Description),
		SourceImageId:                         aws.String(c.from),
		SourceRegion:                          aws.String(c.fromRegion),
		Encrypted:                             c.encrypted,
		KmsKeyId:                              awscall.NonZeroPtr(c.key),
		SnapshotCopyCompletionDurationMinutes: c.minutes,
		TagSpecifications:                     c.spec.tags(),
	}
	image, err := m.makeImage(ctx, t, c.spec.Name, func(
		ctx context.Context, opts ...func(*ec2.Options),
	) (*string, error) {
		out, err := t.EC2.CopyImage(ctx, in, opts...)
		if err != nil {
			return nil, err
		}
		return out.ImageId, nil
	})
	if err != nil {
		return image, fmt.Errorf("copy %s to %s: %w", c.from, t.Region, err)
	}
	return image, nil
}
