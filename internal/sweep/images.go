// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// neverAvailable are the states of images that nobody can have launched a machine from.
var neverAvailable = []types.ImageState{
	types.ImageStatePending, types.ImageStateFailed, types.ImageStateError, types.ImageStateInvalid,
	types.ImageStateTransient,
}

// removeImages deregisters images that did not become available, and deletes expired snapshots that belong to no other
// image. An image that is available stays, whatever its tags say: its machine has reported success, and somebody may
// use it.
func (w *regionSweep) removeImages(ctx context.Context) error {
	images, err := w.images(ctx)
	if err != nil {
		return err
	}
	var errs []error
	var released, inUse []string // ids of snapshots
	for i := range images {
		image := &images[i]
		id, snapshots := aws.ToString(image.ImageId), ami.SnapshotsOf(image)
		if !slices.Contains(neverAvailable, image.State) {
			w.result.Kept = append(w.result.Kept, fmt.Sprintf("%s (%q, %s) of bake %s in %s",
				id, aws.ToString(image.Name), image.State, w.bakes[id], w.region))
			inUse = append(inUse, snapshots...)
			continue
		}
		if err := ami.Deregister(ctx, w.api, id, false, time.Time{}); err != nil {
			errs = append(errs, fmt.Errorf("remove the expired image in %s: %w", w.region, err))
			inUse = append(inUse, snapshots...)
			continue
		}
		w.reportRemoved(string(image.State)+" image", id)
		released = append(released, snapshots...)
	}
	return errors.Join(append(errs, w.deleteSnapshots(ctx, released, inUse))...)
}

// images returns the expired images, in whatever state.
func (w *regionSweep) images(ctx context.Context) ([]types.Image, error) {
	ids := w.ids[types.ResourceTypeImage]
	if len(ids) == 0 {
		return nil, nil
	}
	out, err := w.api.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners: []string{"self"}, IncludeDisabled: aws.Bool(true),
		Filters: []types.Filter{awscall.Filter("image-id", ids...)},
	})
	if err != nil {
		return nil, fmt.Errorf("look for expired images in %s: %w", w.region, err)
	}
	return out.Images, nil
}

// deleteSnapshots deletes the expired snapshots, except those in use. EC2 may refuse for a moment to delete those that
// were released by deregistering their image. Any other that EC2 says is in use belongs to another image, and stays.
func (w *regionSweep) deleteSnapshots(ctx context.Context, released, inUse []string) error {
	again := func(err error) bool { return awscall.HasCode(err, awscall.CodeSnapshotInUse) }
	var errs []error
	for _, id := range w.ids[types.ResourceTypeSnapshot] {
		if slices.Contains(inUse, id) {
			continue
		}
		limit := time.Duration(0)
		if slices.Contains(released, id) {
			limit = ami.SnapshotReleaseTimeout
		}
		err := awscall.RetryWhile(ctx, limit, again, func(ctx context.Context) error {
			_, err := w.api.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
			return err
		})
		switch {
		case err == nil:
			w.reportRemoved("snapshot", id)
		case !awscall.HasCode(err, awscall.CodeSnapshotInUse, awscall.CodeSnapshotNotFound):
			errs = append(errs, fmt.Errorf("delete the expired snapshot %s in %s: %w", id, w.region, err))
		}
	}
	return errors.Join(errs...)
}
