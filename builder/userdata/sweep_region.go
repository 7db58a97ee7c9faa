// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// swath is what has expired in one region.
type swath struct {
	*sweeping

	region string
	api    sweepAPI
	ids    map[types.ResourceType][]string
	bakes  map[string]string // ids of bakes by the ids of what they made
	ended  map[string]bool   // ids of bakes whose machines this sweep has terminated
}

// sweepRegion removes what has expired in a region. Machines go first, because they hold on to volumes and groups.
func (s *sweeping) sweepRegion(ctx context.Context, region string, api sweepAPI) error {
	w := &swath{sweeping: s, region: region, api: api, ids: map[types.ResourceType][]string{}, bakes: map[string]string{}, ended: map[string]bool{}}
	if err := w.find(ctx); err != nil || len(w.bakes) == 0 {
		return err
	}
	requestErr := w.sweepRequests(ctx)
	return errors.Join(
		requestErr,
		w.sweepMachines(ctx, requestErr != nil),
		w.sweepVolumes(ctx),
		w.sweepGroups(ctx),
		w.sweepImages(ctx),
	)
}

// find looks for what carries both tags of bakes, and has expired by the one that says when. A tag that cannot be read says
// nothing, so what has it stays.
func (w *swath) find(ctx context.Context) error {
	tags, err := w.tags(ctx, filter("key", tagExpires))
	if err != nil {
		return err
	}
	var ids []string
	kinds := map[string]types.ResourceType{}
	for _, t := range tags {
		expires, err := time.Parse(time.RFC3339, aws.ToString(t.Value))
		if id := aws.ToString(t.ResourceId); err == nil && aws.ToString(t.Key) == tagExpires && w.over(expires) {
			ids = append(ids, id)
			kinds[id] = t.ResourceType
		}
	}
	for some := range slices.Chunk(ids, mostValues) {
		tags, err := w.tags(ctx, filter("key", tagBake, tagSource), filter("resource-id", some...))
		if err != nil {
			return err
		}
		w.take(kinds, tags)
	}
	return nil
}

// mostValues is how many values EC2 takes in a filter. What is beyond, the next sweep removes.
const mostValues = 200

// take notes what a bake has made. Others copy tags as well, from disks to backups of them: what bakes make of disks says
// what it comes from, and disks do not.
func (w *swath) take(kinds map[string]types.ResourceType, tags []types.TagDescription) {
	sourced := map[string]bool{}
	for _, t := range tags {
		sourced[aws.ToString(t.ResourceId)] = sourced[aws.ToString(t.ResourceId)] || aws.ToString(t.Key) == tagSource
	}
	for _, t := range tags {
		id, bake := aws.ToString(t.ResourceId), aws.ToString(t.Value)
		kind, ok := kinds[id]
		if !ok || aws.ToString(t.Key) != tagBake || !isBakeID(bake) || len(w.ids[kind]) == mostValues {
			continue
		}
		if ofDisk := kind == types.ResourceTypeImage || kind == types.ResourceTypeSnapshot; ofDisk && !sourced[id] {
			continue
		}
		w.ids[kind] = append(w.ids[kind], id)
		w.bakes[id] = bake
	}
}

func (w *swath) tags(ctx context.Context, filters ...types.Filter) ([]types.TagDescription, error) {
	var all []types.TagDescription
	in := &ec2.DescribeTagsInput{Filters: filters}
	for {
		out, err := w.api.DescribeTags(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("look for what has expired in %s: %w", w.region, err)
		}
		w.clock.set(out.ResultMetadata)
		all = append(all, out.Tags...)
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
}

// swept tells of something that was removed.
func (w *swath) swept(kind, id string) {
	w.did("%s %s of bake %s in %s", kind, id, w.bakes[id], w.region)
}

// sweepRequests cancels spot requests, before their machines go: EC2 would launch others.
func (w *swath) sweepRequests(ctx context.Context) error {
	ids := w.ids[types.ResourceTypeSpotInstancesRequest]
	if len(ids) == 0 {
		return nil
	}
	out, err := w.api.DescribeSpotInstanceRequests(ctx, &ec2.DescribeSpotInstanceRequestsInput{
		Filters: []types.Filter{filter("spot-instance-request-id", ids...), filter("state", "open", "active", "disabled")},
	})
	if err != nil {
		return fmt.Errorf("look for expired spot requests in %s: %w", w.region, err)
	}
	var errs []error
	for i := range out.SpotInstanceRequests {
		id := aws.ToString(out.SpotInstanceRequests[i].SpotInstanceRequestId)
		_, err := w.api.CancelSpotInstanceRequests(ctx, &ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{id}})
		switch {
		case err == nil:
			w.swept("spot request", id)
		case !hasCode(err, codeRequestNotFound):
			errs = append(errs, fmt.Errorf("cancel the expired spot request %s in %s: %w", id, w.region, err))
		}
	}
	return errors.Join(errs...)
}

// sweepMachines terminates machines and waits until they are gone. Those of spot requests stay when these could not be
// cancelled.
func (w *swath) sweepMachines(ctx context.Context, notSpot bool) error {
	if len(w.ids[types.ResourceTypeInstance]) == 0 {
		return nil
	}
	there, err := w.machines(ctx)
	if err != nil {
		return err
	}
	var errs []error
	ending := map[string]bool{}
	for _, i := range there {
		id := aws.ToString(i.InstanceId)
		if notSpot && aws.ToString(i.SpotInstanceRequestId) != "" {
			continue
		}
		_, err := w.api.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
		switch {
		case err == nil:
			w.swept("instance", id)
			ending[id] = true
			w.ended[w.bakes[id]] = true
		case !hasCode(err, codeInstanceNotFound):
			errs = append(errs, fmt.Errorf("terminate the expired instance %s in %s: %w", id, w.region, err))
		}
	}
	err = poll(ctx, every(2*time.Second), func(ctx context.Context) (bool, error) {
		there, err := w.machines(ctx)
		gone := !slices.ContainsFunc(there, func(i types.Instance) bool { return ending[aws.ToString(i.InstanceId)] })
		return gone && err == nil, err
	})
	return errors.Join(append(errs, err)...)
}

// machines are the expired ones that are not terminated yet.
func (w *swath) machines(ctx context.Context) ([]types.Instance, error) {
	out, err := w.api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{
		filter("instance-id", w.ids[types.ResourceTypeInstance]...),
		filter("instance-state-name", "pending", "running", "stopping", "stopped", "shutting-down"),
	}})
	if err != nil {
		return nil, fmt.Errorf("look for expired instances in %s: %w", w.region, err)
	}
	var all []types.Instance
	for i := range out.Reservations {
		all = append(all, out.Reservations[i].Instances...)
	}
	return slices.DeleteFunc(all, func(i types.Instance) bool { return !w.launched(&i) }), nil
}

// launched tells whether a machine is one that a bake has launched: the tags of one may have been copied to another, by
// "Launch more like this" or a launch template that was made of it. Bakes launch with a token that begins with their id; of
// Spot Instances, EC2 need not tell it.
func (w *swath) launched(i *types.Instance) bool {
	return aws.ToString(i.SpotInstanceRequestId) != "" || strings.HasPrefix(aws.ToString(i.ClientToken), w.bakes[aws.ToString(i.InstanceId)])
}

// sweepVolumes deletes the volumes that did not go with their machines.
func (w *swath) sweepVolumes(ctx context.Context) error {
	var errs []error
	for _, id := range w.ids[types.ResourceTypeVolume] {
		_, err := w.api.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(id)})
		switch {
		case err == nil:
			w.swept("volume", id)
		case hasCode(err, codeVolumeNotFound, codeInstanceState2, codeVolumeInUse): // gone, going, or the next sweep's
		default:
			errs = append(errs, fmt.Errorf("delete the expired volume %s in %s: %w", id, w.region, err))
		}
	}
	return errors.Join(errs...)
}

// sweepGroups deletes security groups, which are in use for a moment longer than their machines are there. One whose machine
// has been gone for longer is in use by somebody else, which no bake waits for.
func (w *swath) sweepGroups(ctx context.Context) error {
	var errs []error
	for _, id := range w.ids[types.ResourceTypeSecurityGroup] {
		inUse := func(err error) bool { return hasCode(err, codeGroupInUse) && w.ended[w.bakes[id]] }
		err := retryWhile(ctx, groupReleaseTimeout, inUse, func(ctx context.Context) error {
			_, err := w.api.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(id)})
			return err
		})
		switch {
		case err == nil:
			w.swept("security group", id)
		case !hasCode(err, codeGroupNotFound, codeGroupNotFound2):
			errs = append(errs, fmt.Errorf("delete the expired security group %s in %s: %w", id, w.region, err))
		}
	}
	return errors.Join(errs...)
}
