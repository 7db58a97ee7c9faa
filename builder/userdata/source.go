// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// trustedOwners are whose images a bare name may mean: one's own and Amazon's. Anyone else can publish an image under
// any name, so those need source_ami_filter and its owners.
var trustedOwners = []string{"self", "amazon"}

// findSource finds the image that source_ami or source_ami_filter means.
func findSource(ctx context.Context, c *SourceConfig, images imageReader, parameters parameterReader) (types.Image, error) {
	path, isParameter := strings.CutPrefix(c.SourceAmi, ssmPrefix)
	switch {
	case isParameter:
		id, err := readParameter(ctx, path, parameters)
		if err != nil {
			return types.Image{}, err
		}
		return describeSource(ctx, images, &ec2.DescribeImagesInput{ImageIds: []string{id}}, false)
	case imageID.MatchString(c.SourceAmi) && c.SourceAmiFilter.empty():
		return describeSource(ctx, images, &ec2.DescribeImagesInput{ImageIds: []string{c.SourceAmi}}, false)
	case c.SourceAmi != "" && c.SourceAmiFilter.empty():
		return describeSource(ctx, images, &ec2.DescribeImagesInput{
			Owners:  trustedOwners,
			Filters: []types.Filter{filter("name", c.SourceAmi), filter("state", "available")},
		}, true)
	}
	f := c.SourceAmiFilter
	in := &ec2.DescribeImagesInput{Owners: f.Owners, Filters: withDefault(f.Filters, "state", "available")}
	if c.SourceAmi != "" {
		in.ImageIds = []string{c.SourceAmi} // pins what the filter finds
	}
	if f.IncludeDeprecated {
		in.IncludeDeprecated = aws.Bool(true)
	}
	return describeSource(ctx, images, in, f.MostRecent)
}

// readParameter reads the id out of an SSM parameter, such as those AWS and Debian keep for their newest images:
// https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters-ami.html.
func readParameter(ctx context.Context, path string, parameters parameterReader) (string, error) {
	out, err := parameters.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(path)})
	if err != nil {
		return "", fmt.Errorf("read SSM parameter %s of source_ami: %w", path, err)
	}
	id := strings.TrimSpace(aws.ToString(out.Parameter.Value))
	if !imageID.MatchString(id) {
		return "", fmt.Errorf("SSM parameter %s of source_ami holds %q, which is no image id", path, id)
	}
	return id, nil
}

func describeSource(ctx context.Context, images imageReader, in *ec2.DescribeImagesInput, mostRecent bool) (types.Image, error) {
	found, err := allImages(ctx, images, in)
	if err != nil {
		return types.Image{}, fmt.Errorf("find the source image: %w", err)
	}
	switch {
	case len(found) == 0:
		return types.Image{}, fmt.Errorf("find the source image: no image is %s", describe(in))
	case len(found) > 1 && !mostRecent:
		return types.Image{}, fmt.Errorf("find the source image: %d images are %s: set most_recent = true, or narrow the filter",
			len(found), describe(in))
	}
	// CreationDate is ISO 8601 in UTC, so the texts are in the order of the times.
	newest := slices.MaxFunc(found, func(x, y types.Image) int {
		return strings.Compare(aws.ToString(x.CreationDate), aws.ToString(y.CreationDate))
	})
	if newest.State != "" && newest.State != types.ImageStateAvailable {
		return types.Image{}, fmt.Errorf("source image %s is %s; it must be available", aws.ToString(newest.ImageId), newest.State)
	}
	return newest, nil
}

// allImages are those of every page of the answer. A filter may find thousands, of which EC2 tells as many as it likes.
func allImages(ctx context.Context, images imageReader, in *ec2.DescribeImagesInput) ([]types.Image, error) {
	var found []types.Image
	for page := *in; ; {
		out, err := images.DescribeImages(ctx, &page)
		if err != nil {
			return nil, err
		}
		found = append(found, out.Images...)
		if page.NextToken = out.NextToken; aws.ToString(page.NextToken) == "" {
			return found, nil
		}
	}
}

// describe says in words what images were asked for.
func describe(in *ec2.DescribeImagesInput) string {
	if len(in.ImageIds) > 0 && len(in.Filters) == 0 {
		return in.ImageIds[0]
	}
	parts := slices.Clone(in.ImageIds)
	for _, f := range in.Filters {
		parts = append(parts, aws.ToString(f.Name)+"="+strings.Join(f.Values, ","))
	}
	return fmt.Sprintf("owned by %s with %s", strings.Join(in.Owners, ", "), strings.Join(parts, ", "))
}
