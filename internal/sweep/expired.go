// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// expired is what has expired in one region.
type expired struct {
	ids   map[types.ResourceType][]string
	bakes map[string]string // the id of the bake by the id of what it made
}

// mostFilterValues is how many values EC2 accepts in a filter. The next sweep removes the rest.
const mostFilterValues = 200

// findExpired returns what has both tags of bakes, and has expired by the tag that says when. What has a tag that
// cannot be read is left out, so it stays.
func (s *Sweeper) findExpired(ctx context.Context, api *awscall.EC2, region string) (expired, error) {
	found := expired{ids: map[types.ResourceType][]string{}, bakes: map[string]string{}}
	tags, err := s.describeTags(ctx, api, region, awscall.Filter("key", bake.TagExpires))
	if err != nil {
		return expired{}, err
	}
	var ids []string
	kinds := map[string]types.ResourceType{}
	for _, t := range tags {
		expires, err := time.Parse(time.RFC3339, aws.ToString(t.Value))
		if err == nil && aws.ToString(t.Key) == bake.TagExpires && s.mayRemove(expires) {
			id := aws.ToString(t.ResourceId)
			ids = append(ids, id)
			kinds[id] = t.ResourceType
		}
	}
	for chunk := range slices.Chunk(ids, mostFilterValues) {
		tags, err := s.describeTags(ctx, api, region,
			awscall.Filter("key", bake.TagBake, bake.TagSource), awscall.Filter("resource-id", chunk...))
		if err != nil {
			return expired{}, err
		}
		found.add(kinds, tags)
	}
	return found, nil
}

// add adds the things that tags say a bake has made. kinds are the types of the things that have expired, by their ids.
//
// Others copy tags too, from disks to backups of them. So an image or a snapshot is only added when a tag says which
// image it comes from: bakes set that tag on what they make of a disk, and not on the disk.
func (e *expired) add(kinds map[string]types.ResourceType, tags []types.TagDescription) {
	hasSource := map[string]bool{}
	for _, t := range tags {
		if aws.ToString(t.Key) == bake.TagSource {
			hasSource[aws.ToString(t.ResourceId)] = true
		}
	}
	for _, t := range tags {
		id, bakeID := aws.ToString(t.ResourceId), aws.ToString(t.Value)
		kind, ok := kinds[id]
		if !ok || aws.ToString(t.Key) != bake.TagBake || !guest.IsBakeID(bakeID) ||
			len(e.ids[kind]) == mostFilterValues {
			continue
		}
		madeOfDisk := kind == types.ResourceTypeImage || kind == types.ResourceTypeSnapshot
		if madeOfDisk && !hasSource[id] {
			continue
		}
		e.ids[kind] = append(e.ids[kind], id)
		e.bakes[id] = bakeID
	}
}

// describeTags returns all tags of a region that match filters. It sets the bake's clock.
func (s *Sweeper) describeTags(
	ctx context.Context, api *awscall.EC2, region string, filters ...types.Filter,
) ([]types.TagDescription, error) {
	var all []types.TagDescription
	in := &ec2.DescribeTagsInput{Filters: filters}
	for {
		out, err := api.DescribeTags(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("look for what has expired in %s: %w", region, err)
		}
		s.Bake.Clock.SetFrom(out.ResultMetadata)
		all = append(all, out.Tags...)
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
}
