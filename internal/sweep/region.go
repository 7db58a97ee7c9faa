// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/network"
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// regionSweep is the sweep of one region.
type regionSweep struct {
	*Sweeper
	expired

	region string
	api    *awscall.EC2
	result *Result
}

// sweepRegion removes what has expired in a region and is proved to be a bake's. Machines go first, because volumes and
// groups are in use as long as their machines are there.
func (s *Sweeper) sweepRegion(ctx context.Context, region string, r *Result) error {
	api := s.Clients.EC2In(region)
	found, err := s.findExpired(ctx, api, region)
	if err != nil || len(found.tags) == 0 {
		return err
	}
	w := &regionSweep{Sweeper: s, expired: found, region: region, api: api, result: r}
	requestErr := w.cancelSpotRequests(ctx)
	terminated, instanceErr := w.terminateInstances(ctx, requestErr != nil)
	return errors.Join(
		requestErr,
		instanceErr,
		w.deleteVolumes(ctx, terminated),
		w.deleteGroups(ctx, terminated),
		w.removeImages(ctx),
	)
}

// describe makes calls for the expired things of a kind, each with as many ids as a filter accepts.
func (w *regionSweep) describe(
	ctx context.Context, kind types.ResourceType, filter string, do func(context.Context, types.Filter) error,
) error {
	for ids := range slices.Chunk(w.ids[kind], mostFilterValues) {
		if err := do(ctx, awscall.Filter(filter, ids...)); err != nil {
			return fmt.Errorf("look for what has expired in %s: %w", w.region, err)
		}
	}
	return nil
}

// reportRemoved adds a thing that was removed to the result, and tells the user.
func (w *regionSweep) reportRemoved(kind, id string) {
	w.report(w.result, "%s %s of bake %s in %s", kind, id, w.bakeOf(id), w.region)
}

// reportUnproven adds a thing that stays to the result, with the command with which a person removes it. What has the
// id of another thing as a tag was copied: it is nothing of a bake's, and not worth a word.
func (w *regionSweep) reportUnproven(kind, id, command string) {
	if ownership.IsCopy(w.tags[id], id) {
		return
	}
	w.result.Unproven = append(w.result.Unproven, fmt.Sprintf("%s %s in %s has the tags of bake %s: %s",
		kind, id, w.region, w.bakeOf(id), w.Bake.CLI.CommandIn(w.region, "ec2 "+command, id)))
}

// deleteVolumes deletes the volumes that were to outlive the machines which this sweep has terminated. Others stay: a
// volume that is attached to nothing may be all that is left of somebody's data.
func (w *regionSweep) deleteVolumes(ctx context.Context, terminated []types.Instance) error {
	var errs []error
	var of []string
	for i := range terminated {
		of = append(of, outlivingVolumes(&terminated[i])...)
	}
	for _, id := range w.ids[types.ResourceTypeVolume] {
		if !ownership.HasOwnID(w.tags[id], id) {
			continue // it goes with its machine
		}
		if !slices.Contains(of, id) {
			w.reportUnproven("volume", id, "delete-volume --volume-id %s")
			continue
		}
		_, err := w.api.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(id)})
		switch {
		case err == nil:
			w.reportRemoved("volume", id)
		case !awscall.HasCode(err, awscall.CodeVolumeNotFound, awscall.CodeState):
			errs = append(errs, fmt.Errorf("delete the expired volume %s in %s: %w", id, w.region, err))
		}
	}
	return errors.Join(errs...)
}

// outlivingVolumes returns the volumes of a machine that EC2 does not delete with it.
func outlivingVolumes(i *types.Instance) []string {
	var ids []string
	for _, d := range i.BlockDeviceMappings {
		if d.Ebs != nil && !aws.ToBool(d.Ebs.DeleteOnTermination) {
			ids = append(ids, aws.ToString(d.Ebs.VolumeId))
		}
	}
	return ids
}

// deleteGroups deletes security groups. A group is in use for a moment longer than its machine is there. When the group
// of a bake is in use whose machine this sweep has not terminated, somebody else uses it, and the sweep does not wait.
func (w *regionSweep) deleteGroups(ctx context.Context, terminated []types.Instance) error {
	var errs []error
	groups, err := w.groups(ctx)
	if err != nil {
		return err
	}
	for i := range groups {
		id := aws.ToString(groups[i].GroupId)
		if !ownership.MadeGroup(w.bakeOf(id), &groups[i]) {
			if aws.ToString(groups[i].GroupName) == ownership.GroupName(w.bakeOf(id)) {
				w.reportUnproven("security group", id, "delete-security-group --group-id %s")
			}
			continue
		}
		awaitRelease := slices.ContainsFunc(terminated, func(i types.Instance) bool {
			return awscall.TagMap(i.Tags)[bake.TagBake] == w.bakeOf(id)
		})
		err := network.DeleteGroup(ctx, w.api, network.Group{ID: id}, awaitRelease)
		switch {
		case err == nil:
			w.reportRemoved("security group", id)
		case !network.IsGroupNotFound(err):
			errs = append(errs, fmt.Errorf("delete the expired security group %s in %s: %w", id, w.region, err))
		}
	}
	return errors.Join(errs...)
}

// groups returns the expired security groups.
func (w *regionSweep) groups(ctx context.Context) (all []types.SecurityGroup, err error) {
	err = w.describe(ctx, types.ResourceTypeSecurityGroup, "group-id", func(ctx context.Context, f types.Filter) error {
		out, err := w.api.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{f}})
		if err == nil {
			all = append(all, out.SecurityGroups...)
		}
		return err
	})
	return all, err
}
