// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// List returns the images of every page of the answer. A filter may match thousands, and EC2 decides how many are on
// a page.
func List(ctx context.Context, api *awscall.EC2, in *ec2.DescribeImagesInput) ([]types.Image, error) {
	var found []types.Image
	for page := *in; ; {
		out, err := api.DescribeImages(ctx, &page)
		if err != nil {
			return nil, err
		}
		found = append(found, out.Images...)
		if page.NextToken = out.NextToken; aws.ToString(page.NextToken) == "" {
			return found, nil
		}
	}
}

// WithName returns the account's images of a name; EC2 allows one at most. A name has none of the characters that are
// wildcards in a filter.
func WithName(ctx context.Context, api *awscall.EC2, region, name string) ([]types.Image, error) {
	out, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners:          []string{"self"},
		IncludeDisabled: aws.Bool(true), // a disabled image keeps its name
		Filters:         []types.Filter{awscall.Filter("name", name)},
	})
	if err != nil {
		return nil, fmt.Errorf("look for an image named %q in %s: %w", name, region, err)
	}
	return slices.DeleteFunc(out.Images, func(i types.Image) bool { return aws.ToString(i.Name) != name }), nil
}

// Exists reports whether an image exists.
func Exists(ctx context.Context, api *awscall.EC2, id string) (bool, error) {
	out, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if isImageGone(err) || err == nil && len(out.Images) == 0 {
		return false, nil
	}
	return err == nil, err
}

// isImageGone reports whether EC2 has refused a call because the image does not exist, or no longer exists.
func isImageGone(err error) bool {
	return awscall.HasCode(err, awscall.CodeImageNotFound, awscall.CodeImageUnavailable)
}

// IsProtected reports whether an image is protected from deregistration.
func IsProtected(image *types.Image) bool {
	state := aws.ToString(image.DeregistrationProtection)
	return state != "" && state != "disabled"
}

// SnapshotsOf returns the ids of an image's snapshots.
func SnapshotsOf(image *types.Image) []string {
	var ids []string
	for _, d := range image.BlockDeviceMappings {
		if d.Ebs != nil && aws.ToString(d.Ebs.SnapshotId) != "" {
			ids = append(ids, *d.Ebs.SnapshotId)
		}
	}
	return ids
}

// Describe returns the id and the name of an image, for people.
func Describe(image *types.Image) string {
	return fmt.Sprintf("%s (%s)", aws.ToString(image.ImageId), aws.ToString(image.Name))
}
