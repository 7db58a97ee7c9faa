// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package reuse

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
	"github.com/amibakery/packer-plugin-bakery/internal/timeless"
)

// FindUnchanged returns the newest images of one bake that have the same inputs and can be used in every region: one
// for each region, in their order, or none. Without images, why says what keeps an image of the same inputs from
// being returned; it is "" when there is no such image.
func FindUnchanged(
	ctx context.Context, regions []*ami.RegionTarget, in *Inputs,
) (images []types.Image, why string, err error) {
	all := make([][]types.Image, len(regions))
	if err := ami.ForEachRegion(ctx, regions, func(ctx context.Context, t *ami.RegionTarget) (err error) {
		all[slices.Index(regions, t)], err = matchingImages(ctx, t, in)
		return err
	}); err != nil {
		return nil, "", err
	}
	for _, image := range newestFirst(all[0]) {
		images, missing := imagesOfSameBake(&image, regions, all)
		if missing == "" {
			return images, "", nil
		}
		why = cmp.Or(why, missing)
	}
	return nil, why, nil
}

// WhatChanged returns a sentence that says why there is something to bake: what differs from the newest image of the
// name.
func WhatChanged(ctx context.Context, region *ami.RegionTarget, in *Inputs) (string, error) {
	earlier, err := imagesOfName(ctx, region, in, awscall.Filter("tag-key", bake.TagInputs))
	if err != nil {
		return "", err
	}
	if len(earlier) == 0 {
		return fmt.Sprintf("Baking, because there is no earlier image named %q in %s that says what it was made of",
			in.Name, region.Region), nil
	}
	last := &newestFirst(earlier)[0]
	changes := in.Changes(last)
	if len(changes) == 0 {
		changes = []string{"what is recorded of its inputs"}
	}
	return fmt.Sprintf("Baking, because something has changed since %s: %s", ami.Describe(last),
		strings.Join(changes, ", ")), nil
}

// matchingImages returns the account's images in a region that have the same inputs, available or not.
func matchingImages(ctx context.Context, t *ami.RegionTarget, in *Inputs) ([]types.Image, error) {
	return imagesOfName(ctx, t, in, awscall.Filter("tag:"+bake.TagInputs, in.Digest()))
}

// imagesOfName returns the account's images that pass a filter and whose name differs from the wanted one in a time
// or an id at most. Temporary images are left out: they have another name, or a tag that says when they expire. So are
// copies that somebody has made of an image with its tags: they may have another content.
func imagesOfName(ctx context.Context, t *ami.RegionTarget, in *Inputs, more types.Filter) ([]types.Image, error) {
	found, err := ami.List(ctx, t.EC2, &ec2.DescribeImagesInput{
		Owners: []string{"self"}, Filters: []types.Filter{awscall.Filter("name", in.Name), more},
	})
	if err != nil {
		return nil, fmt.Errorf("reuse_unchanged: look for earlier images in %s: %w", t.Region, err)
	}
	return slices.DeleteFunc(found, func(i types.Image) bool {
		tags := awscall.TagMap(i.Tags)
		return timeless.Text(aws.ToString(i.Name), tags[bake.TagBake]) != in.Name || tags[bake.TagExpires] != "" ||
			!ownership.MadeImage(&i)
	}), nil
}

// imagesOfSameBake returns the images of the bake that made an image, one for each region; all are the images of each
// region. missing says what is missing, if anything is.
func imagesOfSameBake(
	image *types.Image, regions []*ami.RegionTarget, all [][]types.Image,
) (images []types.Image, missing string) {
	id := bakeID(image)
	for i, t := range regions {
		at := slices.IndexFunc(all[i], func(other types.Image) bool { return bakeID(&other) == id })
		if at < 0 {
			return nil, fmt.Sprintf("%s is the same, but is not in %s", ami.Describe(image), t.Region)
		}
		found := all[i][at]
		if reason := unusable(&found, time.Now()); reason != "" {
			return nil, fmt.Sprintf("%s in %s is the same, but is %s", ami.Describe(&found), t.Region, reason)
		}
		images = append(images, found)
	}
	return images, ""
}

// bakeID returns the id of the bake that made an image.
func bakeID(image *types.Image) string { return awscall.TagMap(image.Tags)[bake.TagBake] }

// unusable returns why an image should not be used, or "".
func unusable(image *types.Image, now time.Time) string {
	if image.State != types.ImageStateAvailable {
		return string(image.State)
	}
	at, err := time.Parse(time.RFC3339, aws.ToString(image.DeprecationTime))
	if err == nil && !at.After(now) {
		return "deprecated since " + aws.ToString(image.DeprecationTime)
	}
	return ""
}

// newestFirst returns images sorted by the time they were made. CreationDate is ISO 8601 in UTC.
func newestFirst(images []types.Image) []types.Image {
	return slices.SortedFunc(slices.Values(images), func(x, y types.Image) int {
		return cmp.Compare(aws.ToString(y.CreationDate), aws.ToString(x.CreationDate))
	})
}
