// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// checkNames makes sure that the image can have its name in every region. A name that is taken would be found out by
// CreateImage and CopyImage only.
func (b *bake) checkNames(ctx context.Context) error {
	if b.config.SkipCreateAMI {
		return nil
	}
	if err := b.checkRegions(ctx); err != nil {
		return err
	}
	wanted := b.wantedRegions()
	if len(wanted) == 0 {
		return fmt.Errorf("skip_save_build_region keeps no image in %s, and ami_regions names no other region", b.aws.config.Region)
	}
	var errs []error
	for _, region := range wanted {
		errs = append(errs, b.checkName(ctx, region))
	}
	return errors.Join(errs...)
}

func (b *bake) checkName(ctx context.Context, region string) error {
	taken, err := b.holders(ctx, region, b.in(region))
	if err != nil || len(taken) == 0 {
		return err
	}
	id := aws.ToString(taken[0].ImageId)
	switch {
	case b.config.ReuseUnchanged && b.inputs == nil && hasInputs(&taken[0]):
		return nil // it may be the one to return; when it is not, this is asked again
	case !b.config.ForceDeregister && tagMap(taken[0].Tags)[tagExpires] != "":
		return fmt.Errorf("the name %q is taken by %s in %s, whose bake was killed before it was complete, or is under way (it has the tag "+
			"%s): deregister that image, choose another ami_name, or set force_deregister to replace it", b.config.AMIName, id, region, tagExpires)
	case !b.config.ForceDeregister:
		return fmt.Errorf("the name %q is taken by %s in %s: choose another ami_name, or set force_deregister to replace that image",
			b.config.AMIName, id, region)
	case protected(&taken[0]):
		return fmt.Errorf("force_deregister cannot replace %s in %s, which has the name %q and is protected from deregistration: "+
			"disable its protection, or choose another ami_name", id, region, b.config.AMIName)
	}
	return nil
}

// holders are the images of the account that have the name of this bake's: one at most, says EC2.
func (b *bake) holders(ctx context.Context, region string, api imageReader) ([]types.Image, error) {
	return named(ctx, region, api, b.config.AMIName)
}

// named are the account's images of a name. A name has none of the characters that are wildcards in a filter; see imageName.
func named(ctx context.Context, region string, api imageReader, name string) ([]types.Image, error) {
	out, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners:          []string{"self"},
		IncludeDisabled: aws.Bool(true), // a disabled image keeps its name
		Filters:         []types.Filter{filter("name", name)},
	})
	if err != nil {
		return nil, fmt.Errorf("look for an image named %q in %s: %w", name, region, err)
	}
	return slices.DeleteFunc(out.Images, func(i types.Image) bool { return aws.ToString(i.Name) != name }), nil
}

// checkRegions makes sure that the account has the regions the template names. The region of the build has answered
// already, so there is nothing to ask unless there are others.
func (b *bake) checkRegions(ctx context.Context) error {
	c := &b.config.CopyConfig
	others := c.otherRegions(b.aws.config.Region)
	for region := range c.RegionKMSKeyIDs {
		if !slices.Contains(others, region) && region != b.aws.config.Region {
			others = append(others, region)
		}
	}
	if c.SkipRegionValidation || len(others) == 0 {
		return nil
	}
	out, err := b.aws.ec2.DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	if err != nil {
		return fmt.Errorf("look up the regions of ami_regions; skip_region_validation leaves this check out: %w", err)
	}
	var enabled []string
	for i := range out.Regions {
		enabled = append(enabled, aws.ToString(out.Regions[i].RegionName))
	}
	slices.Sort(others)
	var errs []error
	for _, region := range append([]string{b.aws.config.Region}, others...) {
		if !slices.Contains(enabled, region) {
			errs = append(errs, fmt.Errorf("region %q does not exist, or is not enabled for the account: correct region, ami_regions or "+
				"region_kms_key_ids, or set skip_region_validation", region))
		}
	}
	return errors.Join(errs...)
}
