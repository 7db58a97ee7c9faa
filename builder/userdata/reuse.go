// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

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

	"github.com/amibakery/packer-plugin-bakery/internal/timeless"
)

// likes are the images of the account in a region whose inputs are those of this bake: available or not.
func (b *bake) likes(ctx context.Context, p *place) ([]types.Image, error) {
	return b.ofThisName(ctx, p, filter("tag:"+tagInputs, b.inputs.digest()))
}

// ofThisName are the images of the account whose name differs from this bake's in a time or an id at most, and that pass one
// more filter. What is temporary is not among them: it has another name, or a tag that says when it expires.
func (b *bake) ofThisName(ctx context.Context, p *place, more types.Filter) ([]types.Image, error) {
	found, err := allImages(ctx, p.api, &ec2.DescribeImagesInput{
		Owners: []string{"self"}, Filters: []types.Filter{filter("name", b.inputs.name), more},
	})
	if err != nil {
		return nil, fmt.Errorf("reuse_unchanged: look for earlier images in %s: %w", p.region, err)
	}
	return slices.DeleteFunc(found, func(i types.Image) bool {
		tags := tagMap(i.Tags)
		return timeless.Text(aws.ToString(i.Name), tags[tagBake]) != b.inputs.name || tags[tagExpires] != ""
	}), nil
}

// findUnchanged finds the newest image of the same inputs that is there in every place, and sets it there. Why is what
// keeps one from being it, if there is one in the first place.
func (b *bake) findUnchanged(ctx context.Context, places []*place) (found bool, why string, err error) {
	all := make([][]types.Image, len(places))
	if err := inParallel(ctx, places, func(ctx context.Context, p *place) (err error) {
		all[slices.Index(places, p)], err = b.likes(ctx, p)
		return err
	}); err != nil {
		return false, "", err
	}
	for _, image := range newestFirst(all[0]) {
		if missing := b.takeLikes(&image, places, all); missing == "" {
			return true, "", nil
		} else if why == "" {
			why = missing
		}
	}
	return false, why, nil
}

// takeLikes puts the images of the bake that made an image into the places. It returns what is missing.
func (b *bake) takeLikes(image *types.Image, places []*place, all [][]types.Image) (missing string) {
	made := tagMap(image.Tags)[tagBake]
	for i, p := range places {
		at := slices.IndexFunc(all[i], func(other types.Image) bool { return tagMap(other.Tags)[tagBake] == made })
		if at < 0 {
			return fmt.Sprintf("%s is the same, but is not in %s", described(image), p.region)
		}
		p.image = all[i][at]
		if unfit := unusable(&p.image, time.Now()); unfit != "" {
			return fmt.Sprintf("%s in %s is the same, but is %s", described(&p.image), p.region, unfit)
		}
	}
	return ""
}

// unusable says why nobody should be given an image.
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

// sayWhatChanged compares with the newest image of the name.
func (b *bake) sayWhatChanged(ctx context.Context, p *place) error {
	earlier, err := b.ofThisName(ctx, p, filter("tag-key", tagInputs))
	if err != nil {
		return err
	}
	if len(earlier) == 0 {
		b.say("Baking, because there is no earlier image named %q in %s that says what it was made of", b.inputs.name, p.region)
		return nil
	}
	last := &newestFirst(earlier)[0]
	changes := b.inputs.changes(last)
	if len(changes) == 0 {
		changes = []string{"what is recorded of its inputs"}
	}
	b.say("Baking, because something has changed since %s: %s", described(last), strings.Join(changes, ", "))
	return nil
}

// newestFirst are images by the time they were made; CreationDate is ISO 8601 in UTC.
func newestFirst(images []types.Image) []types.Image {
	return slices.SortedFunc(slices.Values(images), func(x, y types.Image) int {
		return cmp.Compare(aws.ToString(y.CreationDate), aws.ToString(x.CreationDate))
	})
}

// described is an image in words.
func described(image *types.Image) string {
	return fmt.Sprintf("%s (%s)", aws.ToString(image.ImageId), aws.ToString(image.Name))
}

// hasInputs tells whether an image says what it was made of.
func hasInputs(image *types.Image) bool { return tagMap(image.Tags)[tagInputs] != "" }

// imageName is the name of the image, which is an earlier one's when that is returned.
func (b *bake) imageName() string {
	if b.reused {
		return aws.ToString(b.places[0].image.Name)
	}
	return b.config.AMIName
}
