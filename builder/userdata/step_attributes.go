// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepAttributes shares the images and says what else EC2 is to know of them, when all are available: nobody else ever sees
// half of them.
type stepAttributes struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepAttributes) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return step(ctx, state, phaseImage, func(ctx context.Context, b *bake) error {
		return inParallel(ctx, b.places, func(ctx context.Context, p *place) error {
			return b.giveAttributes(ctx, p, &p.image)
		})
	})
}

// giveAttributes makes one call for each thing that is set, and none for what is not.
func (b *bake) giveAttributes(ctx context.Context, p *place, image *types.Image) error {
	for _, in := range b.imageChanges() {
		in.ImageId = image.ImageId
		err := retryWhile(ctx, visibleTimeout, notYet(p.newest, codeImageNotFound), func(ctx context.Context) error {
			_, err := p.api.ModifyImageAttribute(ctx, in)
			return err
		})
		if err != nil {
			return fmt.Errorf("set %s of %s in %s: %w", changed(in), aws.ToString(image.ImageId), p.region, err)
		}
	}
	return errors.Join(b.shareSnapshots(ctx, p, image), b.deprecate(ctx, p, image))
}

// imageChanges are the calls of ModifyImageAttribute, which takes one attribute at a time.
func (b *bake) imageChanges() []*ec2.ModifyImageAttributeInput {
	var all []*ec2.ModifyImageAttributeInput
	if c := b.config.IMDSSupport; c != "" {
		all = append(all, &ec2.ModifyImageAttributeInput{ImdsSupport: &types.AttributeValue{Value: aws.String(c)}})
	}
	if codes := b.config.AMIProductCodes; len(codes) > 0 {
		all = append(all, &ec2.ModifyImageAttributeInput{ProductCodes: codes})
	}
	if add := b.config.launchers(); len(add) > 0 {
		all = append(all, &ec2.ModifyImageAttributeInput{LaunchPermission: &types.LaunchPermissionModifications{Add: add}})
	}
	return all
}

// changed names the settings that a call is made for.
func changed(in *ec2.ModifyImageAttributeInput) string {
	switch {
	case in.ImdsSupport != nil:
		return "imds_support"
	case len(in.ProductCodes) > 0:
		return "ami_product_codes"
	}
	return "ami_users, ami_groups, ami_org_arns and ami_ou_arns"
}

// launchers are who may launch the image, in one list: they are told to EC2 together, or not at all.
func (s *SharingConfig) launchers() []types.LaunchPermission {
	var all []types.LaunchPermission
	for _, id := range s.AMIUsers {
		all = append(all, types.LaunchPermission{UserId: aws.String(id)})
	}
	for _, arn := range s.AMIOrgArns {
		all = append(all, types.LaunchPermission{OrganizationArn: aws.String(arn)})
	}
	for _, arn := range s.AMIOuArns {
		all = append(all, types.LaunchPermission{OrganizationalUnitArn: aws.String(arn)})
	}
	for _, group := range s.AMIGroups {
		all = append(all, types.LaunchPermission{Group: types.PermissionGroup(group)})
	}
	return all
}

func (b *bake) shareSnapshots(ctx context.Context, p *place, image *types.Image) error {
	var add []types.CreateVolumePermission
	for _, id := range b.config.SnapshotUsers {
		add = append(add, types.CreateVolumePermission{UserId: aws.String(id)})
	}
	for _, group := range b.config.SnapshotGroups {
		add = append(add, types.CreateVolumePermission{Group: types.PermissionGroup(group)})
	}
	if len(add) == 0 {
		return nil
	}
	for _, id := range snapshotsOf(image) {
		err := retryWhile(ctx, visibleTimeout, notYet(p.newest, codeSnapshotNotFound), func(ctx context.Context) error {
			_, err := p.api.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
				SnapshotId:             aws.String(id),
				Attribute:              types.SnapshotAttributeNameCreateVolumePermission,
				CreateVolumePermission: &types.CreateVolumePermissionModifications{Add: add},
			})
			return err
		})
		if err != nil {
			return fmt.Errorf("set snapshot_users and snapshot_groups of %s in %s: %w", id, p.region, err)
		}
	}
	return nil
}

func (b *bake) deprecate(ctx context.Context, p *place, image *types.Image) error {
	if b.config.DeprecateAt == "" {
		return nil
	}
	at, err := b.config.deprecation()
	if err != nil {
		return err
	}
	err = retryWhile(ctx, visibleTimeout, notYet(p.newest, codeImageNotFound), func(ctx context.Context) error {
		_, err := p.api.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{ImageId: image.ImageId, DeprecateAt: aws.Time(at)})
		return err
	})
	if err != nil {
		return fmt.Errorf("set deprecate_at of %s in %s: %w", aws.ToString(image.ImageId), p.region, err)
	}
	return nil
}
