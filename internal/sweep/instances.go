// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// cancelSpotRequests cancels spot requests. It comes before the machines are terminated: EC2 would launch others.
func (w *regionSweep) cancelSpotRequests(ctx context.Context) error {
	ids := w.ids[types.ResourceTypeSpotInstancesRequest]
	if len(ids) == 0 {
		return nil
	}
	out, err := w.api.DescribeSpotInstanceRequests(ctx, &ec2.DescribeSpotInstanceRequestsInput{
		Filters: []types.Filter{
			awscall.Filter("spot-instance-request-id", ids...), awscall.Filter("state", "open", "active", "disabled"),
		},
	})
	if err != nil {
		return fmt.Errorf("look for expired spot requests in %s: %w", w.region, err)
	}
	var errs []error
	for i := range out.SpotInstanceRequests {
		id := aws.ToString(out.SpotInstanceRequests[i].SpotInstanceRequestId)
		_, err := w.api.CancelSpotInstanceRequests(ctx, &ec2.CancelSpotInstanceRequestsInput{
			SpotInstanceRequestIds: []string{id},
		})
		switch {
		case err == nil:
			w.reportRemoved("spot request", id)
		case !awscall.HasCode(err, awscall.CodeSpotRequestNotFound):
			errs = append(errs, fmt.Errorf("cancel the expired spot request %s in %s: %w", id, w.region, err))
		}
	}
	return errors.Join(errs...)
}

// terminateInstances terminates machines and waits until they are gone. It returns the ids of the bakes that launched
// them. With keepSpot, Spot Instances stay: EC2 would launch others while their requests are not cancelled.
func (w *regionSweep) terminateInstances(ctx context.Context, keepSpot bool) (bakes map[string]bool, err error) {
	if len(w.ids[types.ResourceTypeInstance]) == 0 {
		return nil, nil
	}
	instances, err := w.instances(ctx)
	if err != nil {
		return nil, err
	}
	bakes = map[string]bool{}
	terminated := map[string]bool{}
	var errs []error
	for i := range instances {
		id := aws.ToString(instances[i].InstanceId)
		if keepSpot && isSpot(&instances[i]) {
			continue
		}
		_, err := w.api.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
		switch {
		case err == nil:
			w.reportRemoved("instance", id)
			terminated[id], bakes[w.bakes[id]] = true, true
		case !awscall.HasCode(err, awscall.CodeInstanceNotFound):
			errs = append(errs, fmt.Errorf("terminate the expired instance %s in %s: %w", id, w.region, err))
		}
	}
	return bakes, errors.Join(append(errs, w.waitUntilGone(ctx, terminated))...)
}

// waitUntilGone waits until EC2 says that instances are terminated.
func (w *regionSweep) waitUntilGone(ctx context.Context, ids map[string]bool) error {
	return awscall.Poll(ctx, awscall.Every(awscall.RetryPause), func(ctx context.Context) (bool, error) {
		instances, err := w.instances(ctx)
		left := slices.ContainsFunc(instances, func(i types.Instance) bool { return ids[aws.ToString(i.InstanceId)] })
		return !left && err == nil, err
	})
}

// instances returns the expired machines that are not terminated yet.
func (w *regionSweep) instances(ctx context.Context) ([]types.Instance, error) {
	out, err := w.api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{
		awscall.Filter("instance-id", w.ids[types.ResourceTypeInstance]...),
		awscall.Filter("instance-state-name", "pending", "running", "stopping", "stopped", "shutting-down"),
	}})
	if err != nil {
		return nil, fmt.Errorf("look for expired instances in %s: %w", w.region, err)
	}
	var all []types.Instance
	for i := range out.Reservations {
		all = append(all, out.Reservations[i].Instances...)
	}
	return slices.DeleteFunc(all, func(i types.Instance) bool {
		return !launchedBy(w.bakes[aws.ToString(i.InstanceId)], &i)
	}), nil
}

// launchedBy reports whether a bake has launched a machine that has its tags. Somebody may have copied the tags to
// another machine, with "Launch more like this" or with a launch template. Bakes launch with a client token that begins
// with their id; EC2 may not say the token of a Spot Instance.
func launchedBy(bakeID string, i *types.Instance) bool {
	return isSpot(i) || strings.HasPrefix(aws.ToString(i.ClientToken), bakeID)
}

func isSpot(i *types.Instance) bool { return aws.ToString(i.SpotInstanceRequestId) != "" }
