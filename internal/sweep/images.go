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
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// neverAvailable are the states of images that nobody can have launched a machine from.
var neverAvailable = []types.ImageState{
	types.ImageStatePending, types.ImageStateFailed, types.ImageStateError, types.ImageStateInvalid,
	types.ImageStateTransient,
}

// removeImages deregisters images that did not become available, and deletes their snapshots. An image that is
// available stays, whatever its tags say: its machine has reported success, and somebody may use it.
func (w *regionSweep) removeImages(ctx context.Context) error {
	images, err := w.images(ctx)
	if err != nil {
		return err
	}
	var errs []error
	var removed, kept []types.Image
	for i := range images {
		image := &images[i]
		id := aws.ToString(image.ImageId)
		switch isOwn := ownership.MadeImage(image); {
		case !slices.Contains(neverAvailable, image.State):
			if !ownership.IsCopy(w.tags[id], id) {
				w.result.Kept = append(w.result.Kept, fmt.Sprintf("%s (%q, %s) of bake %s in %s",
					id, aws.ToString(image.Name), image.State, w.bakeOf(id), w.region))
			}
		case !isOwn:
			w.reportUnproven(string(image.State)+" image", id, "deregister-image --image-id %s")
		default:
			if err := ami.Deregister(ctx, w.api, id, false, time.Time{}); err != nil {
				errs = append(errs, fmt.Errorf("remove the expired image in %s: %w", w.region, err))
				break
			}
			w.reportRemoved(string(image.State)+" image", id)
			removed = append(removed, *image)
			continue
		}
		kept = append(kept, *image)
	}
	return errors.Join(append(errs, w.deleteSnapshots(ctx, removed, kept))...)
}

// images returns the expired images, in whatever state.
func (w *regionSweep) images(ctx context.Context) (all []types.Image, err error) {
	err = w.describe(ctx, types.ResourceTypeImage, "image-id", func(ctx context.Context, f types.Filter) error {
		out, err := w.api.DescribeImages(ctx, &ec2.DescribeImagesInput{
			Owners: []string{"self"}, IncludeDisabled: aws.Bool(true), Filters: []types.Filter{f},
		})
		if err == nil {
			all = append(all, out.Images...)
		}
		return err
	})
	return all, err
}

// deleteSnapshots deletes the snapshots that bakes have made for images which this sweep has removed. EC2 may refuse
// for a moment to delete those. Snapshots of images that are gone for longer are named, and stay.
func (w *regionSweep) deleteSnapshots(ctx context.Context, removed, kept []types.Image) error {
	snapshots, err := w.snapshots(ctx)
	if err != nil {
		return err
	}
	inUse := func(err error) bool { return awscall.HasCode(err, awscall.CodeSnapshotInUse) }
	var errs []error
	for i := range snapshots {
		id := aws.ToString(snapshots[i].SnapshotId)
		if !ami.MadeSnapshotFor(removed, w.bakeOf(id), &snapshots[i]) {
			if !isListed(id, kept) && !ami.MadeSnapshotFor(kept, w.bakeOf(id), &snapshots[i]) &&
				ownership.MadeForImage(&snapshots[i]) != "" {
				w.reportUnproven("snapshot", id, "delete-snapshot --snapshot-id %s")
			}
			continue
		}
		err := awscall.RetryWhile(ctx, ami.SnapshotReleaseTimeout, inUse, func(ctx context.Context) error {
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

// isListed reports whether one of some images has a snapshot.
func isListed(id string, images []types.Image) bool {
	return slices.ContainsFunc(images, func(i types.Image) bool { return slices.Contains(ami.SnapshotsOf(&i), id) })
}

// snapshots returns the expired snapshots, whoever has made them.
func (w *regionSweep) snapshots(ctx context.Context) (all []types.Snapshot, err error) {
	err = w.describe(ctx, types.ResourceTypeSnapshot, "snapshot-id", func(ctx context.Context, f types.Filter) error {
		out, err := w.api.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{
			OwnerIds: []string{"self"}, Filters: []types.Filter{f},
		})
		if err == nil {
			all = append(all, out.Snapshots...)
		}
		return err
	})
	return all, err
}
