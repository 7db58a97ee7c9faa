// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/network"
)

// regionSweep is the sweep of one region.
type regionSweep struct {
	*Sweeper
	expired

	region string
	api    *awscall.EC2
	result *Result
}

// sweepRegion removes what has expired in a region. Machines go first, because volumes and groups are in use as long as
// their machines are there.
func (s *Sweeper) sweepRegion(ctx context.Context, region string, r *Result) error {
	api := s.Clients.EC2In(region)
	found, err := s.findExpired(ctx, api, region)
	if err != nil || len(found.bakes) == 0 {
		return err
	}
	w := &regionSweep{Sweeper: s, expired: found, region: region, api: api, result: r}
	requestErr := w.cancelSpotRequests(ctx)
	terminated, instanceErr := w.terminateInstances(ctx, requestErr != nil)
	return errors.Join(
		requestErr,
		instanceErr,
		w.deleteVolumes(ctx),
		w.deleteGroups(ctx, terminated),
		w.removeImages(ctx),
	)
}

// reportRemoved adds a thing that was removed to the result, and tells the user.
func (w *regionSweep) reportRemoved(kind, id string) {
	w.report(w.result, "%s %s of bake %s in %s", kind, id, w.bakes[id], w.region)
}

// deleteVolumes deletes the volumes that were not deleted with their machines.
func (w *regionSweep) deleteVolumes(ctx context.Context) error {
	var errs []error
	for _, id := range w.ids[types.ResourceTypeVolume] {
		_, err := w.api.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(id)})
		switch {
		case err == nil:
			w.reportRemoved("volume", id)
		case awscall.HasCode(err, awscall.CodeVolumeNotFound, awscall.CodeState):
			// It is gone, or being deleted.
		case awscall.HasCode(err, awscall.CodeVolumeInUse):
			// The next sweep deletes it.
		default:
			errs = append(errs, fmt.Errorf("delete the expired volume %s in %s: %w", id, w.region, err))
		}
	}
	return errors.Join(errs...)
}

// deleteGroups deletes security groups. A group is in use for a moment longer than its machine is there. terminated are
// the ids of the bakes whose machines this sweep has terminated. When the group of another bake is in use, somebody
// else uses it, and the sweep does not wait.
func (w *regionSweep) deleteGroups(ctx context.Context, terminated map[string]bool) error {
	var errs []error
	for _, id := range w.ids[types.ResourceTypeSecurityGroup] {
		err := network.DeleteGroup(ctx, w.api, network.Group{ID: id}, terminated[w.bakes[id]])
		switch {
		case err == nil:
			w.reportRemoved("security group", id)
		case !network.IsGroupNotFound(err):
			errs = append(errs, fmt.Errorf("delete the expired security group %s in %s: %w", id, w.region, err))
		}
	}
	return errors.Join(errs...)
}
