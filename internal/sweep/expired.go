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

// expired is what has the tags of bakes in one region, and has expired by them. The tags alone prove nothing: see
// package ownership.
type expired struct {
	ids  map[types.ResourceType][]string
	tags map[string]map[string]string // those of the bake, by the id of the thing
}

// bakeOf returns the id of the bake that a thing says has made it.
func (e *expired) bakeOf(id string) string { return e.tags[id][bake.TagBake] }

// mostFilterValues is how many values EC2 accepts in a filter.
const mostFilterValues = 200

// findExpired returns what has both tags of bakes, and has expired by the tag that says when. What has a tag that
// cannot be read is left out, so it stays.
func (s *Sweeper) findExpired(ctx context.Context, api *awscall.EC2, region string) (expired, error) {
	found := expired{ids: map[types.ResourceType][]string{}, tags: map[string]map[string]string{}}
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
			awscall.Filter("key", bake.TagBake, bake.TagSource, bake.TagSelf), awscall.Filter("resource-id", chunk...))
		if err != nil {
			return expired{}, err
		}
		found.add(kinds, tags)
	}
	return found, nil
}

// add adds the things whose tags say that a bake has made them. kinds are the types of the things that have expired, by
// their ids.
//
// An image or a snapshot is only added when a tag says which image it comes from: bakes set that tag on what they make
// of a disk, and not on the disk, whose tags are copied to backups.
func (e *expired) add(kinds map[string]types.ResourceType, tags []types.TagDescription) {
	all := map[string]map[string]string{}
	for _, t := range tags {
		id := aws.ToString(t.ResourceId)
		if all[id] == nil {
			all[id] = map[string]string{}
		}
		all[id][aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	for id, tags := range all {
		kind, ok := kinds[id]
		madeOfDisk := kind == types.ResourceTypeImage || kind == types.ResourceTypeSnapshot
		if !ok || !guest.IsBakeID(tags[bake.TagBake]) || madeOfDisk && tags[bake.TagSource] == "" {
			continue
		}
		e.ids[kind] = append(e.ids[kind], id)
		e.tags[id] = tags
	}
	for _, ids := range e.ids {
		slices.Sort(ids)
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
