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
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// cancelSpotRequests cancels spot requests. It comes before the machines are terminated: EC2 would launch others.
func (w *regionSweep) cancelSpotRequests(ctx context.Context) error {
	open := awscall.Filter("state", "open", "active", "disabled")
	var errs []error
	err := w.describe(ctx, types.ResourceTypeSpotInstancesRequest, "spot-instance-request-id",
		func(ctx context.Context, f types.Filter) error {
			out, err := w.api.DescribeSpotInstanceRequests(ctx,
				&ec2.DescribeSpotInstanceRequestsInput{Filters: []types.Filter{f, open}})
			if err != nil {
				return err
			}
			for i := range out.SpotInstanceRequests {
				id := aws.ToString(out.SpotInstanceRequests[i].SpotInstanceRequestId)
				errs = append(errs, w.cancelSpotRequest(ctx, id))
			}
			return nil
		})
	return errors.Join(append(errs, err)...)
}

func (w *regionSweep) cancelSpotRequest(ctx context.Context, id string) error {
	if !ownership.HasOwnID(w.tags[id], id) {
		w.reportUnproven("spot request", id, "cancel-spot-instance-requests --spot-instance-request-ids %s")
		return nil
	}
	_, err := w.api.CancelSpotInstanceRequests(ctx, &ec2.CancelSpotInstanceRequestsInput{
		SpotInstanceRequestIds: []string{id},
	})
	switch {
	case err == nil:
		w.reportRemoved("spot request", id)
	case !awscall.HasCode(err, awscall.CodeSpotRequestNotFound):
		return fmt.Errorf("cancel the expired spot request %s in %s: %w", id, w.region, err)
	}
	return nil
}

// terminateInstances terminates machines, waits until they are gone, and returns them. With keepSpot, Spot Instances
// stay: EC2 would launch others while their requests are not cancelled.
func (w *regionSweep) terminateInstances(
	ctx context.Context, keepSpot bool,
) (terminated []types.Instance, err error) {
	instances, err := w.instances(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i := range instances {
		id := aws.ToString(instances[i].InstanceId)
		switch {
		case !ownership.LaunchedInstance(w.bakeOf(id), &instances[i]):
			if isSpot(&instances[i]) {
				w.reportUnproven("instance", id, "terminate-instances --instance-ids %s")
			}
			continue
		case keepSpot && isSpot(&instances[i]):
			continue
		}
		_, err := w.api.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
		switch {
		case err == nil:
			w.reportRemoved("instance", id)
			terminated = append(terminated, instances[i])
		case !awscall.HasCode(err, awscall.CodeInstanceNotFound):
			errs = append(errs, fmt.Errorf("terminate the expired instance %s in %s: %w", id, w.region, err))
		}
	}
	return terminated, errors.Join(append(errs, w.waitUntilGone(ctx, terminated))...)
}

// waitUntilGone waits until EC2 says that instances are terminated.
func (w *regionSweep) waitUntilGone(ctx context.Context, terminated []types.Instance) error {
	if len(terminated) == 0 {
		return nil
	}
	return awscall.Poll(ctx, awscall.Every(awscall.RetryPause), func(ctx context.Context) (bool, error) {
		instances, err := w.instances(ctx)
		left := slices.ContainsFunc(instances, func(i types.Instance) bool {
			return slices.ContainsFunc(terminated, func(t types.Instance) bool {
				return aws.ToString(t.InstanceId) == aws.ToString(i.InstanceId)
			})
		})
		return !left && err == nil, err
	})
}

// instances returns the expired machines that are not terminated yet, whoever has launched them.
func (w *regionSweep) instances(ctx context.Context) (all []types.Instance, err error) {
	alive := awscall.Filter("instance-state-name", "pending", "running", "stopping", "stopped", "shutting-down")
	err = w.describe(ctx, types.ResourceTypeInstance, "instance-id", func(ctx context.Context, f types.Filter) error {
		out, err := w.api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{f, alive}})
		if err != nil {
			return err
		}
		for i := range out.Reservations {
			all = append(all, out.Reservations[i].Instances...)
		}
		return nil
	})
	return all, err
}

func isSpot(i *types.Instance) bool { return aws.ToString(i.SpotInstanceRequestId) != "" }
