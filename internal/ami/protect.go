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
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// Protect protects the images from deregistration, if the template says so.
func (m *Maker) Protect(ctx context.Context) error {
	if !m.settings.Attributes.DeregistrationProtection.Enabled {
		return nil
	}
	return ForEachRegion(ctx, m.targets, m.protect)
}

func (m *Maker) protect(ctx context.Context, t *RegionTarget) error {
	if IsProtected(&t.Image) {
		return nil
	}
	ctx, cancel := awscall.Uninterruptible(ctx)
	defer cancel()
	err := retryWhileInvisible(ctx, t, awscall.CodeImageNotFound, func(ctx context.Context) error {
		_, err := t.EC2.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{
			ImageId:      t.Image.ImageId,
			WithCooldown: aws.Bool(m.settings.Attributes.DeregistrationProtection.WithCooldown),
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("set deregistration_protection of %s in %s: %w", t.ImageID(), t.Region, err)
	}
	return nil
}

// Complete removes the tag that says when an image and its snapshots expire. An available image that still has the
// tag is one whose bake was killed: it may lack copies, sharing or its name. Images of an earlier bake are complete
// already.
func (m *Maker) Complete(ctx context.Context) error {
	if m.existing {
		return nil
	}
	return ForEachRegion(ctx, m.targets, m.complete)
}

func (m *Maker) complete(ctx context.Context, t *RegionTarget) error {
	ctx, cancel := awscall.Uninterruptible(ctx)
	defer cancel()
	snapshots := m.settings.Image.OwnSnapshots(&t.Image)
	ownership.Tag(ctx, m.bake, t.EC2, snapshots...)
	again := awscall.NotVisibleYet(t.newest, awscall.CodeImageNotFound, awscall.CodeSnapshotNotFound)
	err := awscall.RetryWhile(ctx, awscall.VisibleTimeout, again, func(ctx context.Context) error {
		_, err := t.EC2.DeleteTags(ctx, &ec2.DeleteTagsInput{
			Resources: append([]string{t.ImageID()}, snapshots...),
			Tags:      []types.Tag{{Key: aws.String(bake.TagExpires)}},
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("take the tag %s off %s in %s: %w", bake.TagExpires, t.ImageID(), t.Region, err)
	}
	return nil
}

// Release releases the images from the ledger, when all has succeeded. A region with temporary images stays in the
// ledger: these are removed with everything else, and the image is not.
func (m *Maker) Release() {
	m.released = true
	for _, t := range m.targets {
		t.done = true
		switch {
		case m.existing: // never in the ledger
		case len(t.made) == 1:
			m.bake.Ledger.Release(t.entry)
		default:
			t.entry.What = fmt.Sprintf("temporary images of bake %s in %s", m.bake.ID, t.Region)
		}
	}
}
