// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// ApplyAttributes shares the images and sets their attributes. It is called when all images are available, so nobody
// else ever sees only some of them.
func (m *Maker) ApplyAttributes(ctx context.Context) error {
	return ForEachRegion(ctx, m.targets, m.applyAttributes)
}

// applyAttributes makes one call for each attribute that is set, and none for the others.
func (m *Maker) applyAttributes(ctx context.Context, t *RegionTarget) error {
	for _, in := range m.settings.imageChanges() {
		in.ImageId = t.Image.ImageId
		err := retryWhileInvisible(ctx, t, awscall.CodeImageNotFound, func(ctx context.Context) error {
			_, err := t.EC2.ModifyImageAttribute(ctx, in)
			return err
		})
		if err != nil {
			return fmt.Errorf("set %s of %s in %s: %w", settingsOfChange(in), t.ImageID(), t.Region, err)
		}
	}
	return errors.Join(m.shareSnapshots(ctx, t), m.deprecate(ctx, t))
}

// retryWhileInvisible makes a call again as long as EC2 does not know the image that was just made there, as code says.
func retryWhileInvisible(ctx context.Context, t *RegionTarget, code string, call func(context.Context) error) error {
	return awscall.RetryWhile(ctx, awscall.VisibleTimeout, awscall.NotVisibleYet(t.newest, code), call)
}

// imageChanges returns the calls of ModifyImageAttribute, which changes one attribute at a time.
func (s *Settings) imageChanges() []*ec2.ModifyImageAttributeInput {
	var all []*ec2.ModifyImageAttributeInput
	if v := s.Attributes.IMDSSupport; v != "" {
		all = append(all, &ec2.ModifyImageAttributeInput{ImdsSupport: &types.AttributeValue{Value: aws.String(v)}})
	}
	if codes := s.Sharing.AMIProductCodes; len(codes) > 0 {
		all = append(all, &ec2.ModifyImageAttributeInput{ProductCodes: codes})
	}
	if add := s.Sharing.launchPermissions(); len(add) > 0 {
		all = append(all, &ec2.ModifyImageAttributeInput{
			LaunchPermission: &types.LaunchPermissionModifications{Add: add},
		})
	}
	return all
}

// settingsOfChange returns the names of the settings that a call is made for.
func settingsOfChange(in *ec2.ModifyImageAttributeInput) string {
	switch {
	case in.ImdsSupport != nil:
		return "imds_support"
	case len(in.ProductCodes) > 0:
		return "ami_product_codes"
	}
	return "ami_users, ami_groups, ami_org_arns and ami_ou_arns"
}

func (m *Maker) shareSnapshots(ctx context.Context, t *RegionTarget) error {
	add := m.settings.Sharing.createVolumePermissions()
	if len(add) == 0 {
		return nil
	}
	for _, id := range SnapshotsOf(&t.Image) {
		err := retryWhileInvisible(ctx, t, awscall.CodeSnapshotNotFound, func(ctx context.Context) error {
			_, err := t.EC2.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
				SnapshotId:             aws.String(id),
				Attribute:              types.SnapshotAttributeNameCreateVolumePermission,
				CreateVolumePermission: &types.CreateVolumePermissionModifications{Add: add},
			})
			return err
		})
		if err != nil {
			return fmt.Errorf("set snapshot_users and snapshot_groups of %s in %s: %w", id, t.Region, err)
		}
	}
	return nil
}

func (m *Maker) deprecate(ctx context.Context, t *RegionTarget) error {
	if m.settings.Attributes.DeprecateAt == "" {
		return nil
	}
	at, err := m.settings.Attributes.deprecationTime()
	if err != nil {
		return err
	}
	err = retryWhileInvisible(ctx, t, awscall.CodeImageNotFound, func(ctx context.Context) error {
		_, err := t.EC2.EnableImageDeprecation(ctx,
			&ec2.EnableImageDeprecationInput{ImageId: t.Image.ImageId, DeprecateAt: aws.Time(at)})
		return err
	})
	if err != nil {
		return fmt.Errorf("set deprecate_at of %s in %s: %w", t.ImageID(), t.Region, err)
	}
	return nil
}
