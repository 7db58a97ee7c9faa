// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// trustedOwners are the owners of the images that a name alone can mean: the account and Amazon. Anyone else can
// publish an image under any name, so their images need source_ami_filter and its owners.
var trustedOwners = []string{"self", "amazon"}

// FindSource returns the image that source_ami or source_ami_filter means.
func FindSource(ctx context.Context, c *SourceConfig, api *awscall.EC2, params *awscall.SSM) (types.Image, error) {
	path, isParameter := strings.CutPrefix(c.SourceAmi, ssmPrefix)
	switch {
	case isParameter:
		id, err := readParameter(ctx, path, params)
		if err != nil {
			return types.Image{}, err
		}
		return describeSource(ctx, api, &ec2.DescribeImagesInput{ImageIds: []string{id}}, false)
	case imageID.MatchString(c.SourceAmi) && c.SourceAmiFilter.isEmpty():
		return describeSource(ctx, api, &ec2.DescribeImagesInput{ImageIds: []string{c.SourceAmi}}, false)
	case c.SourceAmi != "" && c.SourceAmiFilter.isEmpty():
		return describeSource(ctx, api, &ec2.DescribeImagesInput{
			Owners:  trustedOwners,
			Filters: []types.Filter{awscall.Filter("name", c.SourceAmi), awscall.Filter("state", "available")},
		}, true)
	}
	f := c.SourceAmiFilter
	in := &ec2.DescribeImagesInput{
		Owners: f.Owners, Filters: awscall.FiltersWithDefault(f.Filters, "state", "available"),
	}
	if c.SourceAmi != "" {
		in.ImageIds = []string{c.SourceAmi} // must match the filter as well
	}
	if f.IncludeDeprecated {
		in.IncludeDeprecated = aws.Bool(true)
	}
	return describeSource(ctx, api, in, f.MostRecent)
}

// readParameter returns the image id that an SSM parameter holds. AWS and Debian have such parameters for their
// newest images:
// https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters-ami.html.
func readParameter(ctx context.Context, path string, params *awscall.SSM) (string, error) {
	out, err := params.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(path)})
	if err != nil {
		return "", fmt.Errorf("read SSM parameter %s of source_ami: %w", path, err)
	}
	id := strings.TrimSpace(aws.ToString(out.Parameter.Value))
	if !imageID.MatchString(id) {
		return "", fmt.Errorf("SSM parameter %s of source_ami holds %q, which is no image id", path, id)
	}
	return id, nil
}

// describeSource returns the image that a request finds; the newest with mostRecent, if there are several.
func describeSource(
	ctx context.Context, api *awscall.EC2, in *ec2.DescribeImagesInput, mostRecent bool,
) (types.Image, error) {
	found, err := List(ctx, api, in)
	if err != nil {
		return types.Image{}, fmt.Errorf("find the source image: %w", err)
	}
	switch {
	case len(found) == 0:
		return types.Image{}, fmt.Errorf("find the source image: no image is %s", describeRequest(in))
	case len(found) > 1 && !mostRecent:
		return types.Image{}, fmt.Errorf("find the source image: %d images are %s: set most_recent = true, or narrow "+
			"the filter", len(found), describeRequest(in))
	}
	// CreationDate is ISO 8601 in UTC, so the texts are in the order of the times.
	newest := slices.MaxFunc(found, func(x, y types.Image) int {
		return strings.Compare(aws.ToString(x.CreationDate), aws.ToString(y.CreationDate))
	})
	if newest.State != "" && newest.State != types.ImageStateAvailable {
		return types.Image{}, fmt.Errorf("source image %s is %s; it must be available",
			aws.ToString(newest.ImageId), newest.State)
	}
	return newest, nil
}

// describeRequest returns in words which images a request is for.
func describeRequest(in *ec2.DescribeImagesInput) string {
	if len(in.ImageIds) > 0 && len(in.Filters) == 0 {
		return in.ImageIds[0]
	}
	parts := slices.Clone(in.ImageIds)
	for _, f := range in.Filters {
		parts = append(parts, aws.ToString(f.Name)+"="+strings.Join(f.Values, ","))
	}
	return fmt.Sprintf("owned by %s with %s", strings.Join(in.Owners, ", "), strings.Join(parts, ", "))
}

// CheckRootDevice refuses a source image whose machines EC2 makes no image of.
func CheckRootDevice(source *types.Image) error {
	if source.RootDeviceType != "" && source.RootDeviceType != types.DeviceTypeEbs {
		return fmt.Errorf("source image %s has its root device on %s; an image can be made only of one on ebs",
			aws.ToString(source.ImageId), source.RootDeviceType)
	}
	return nil
}
