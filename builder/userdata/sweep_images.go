// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// neverAvailable are the states of images that nobody can have launched a machine from.
var neverAvailable = []types.ImageState{
	types.ImageStatePending, types.ImageStateFailed, types.ImageStateError, types.ImageStateInvalid, types.ImageStateTransient,
}

// sweepImages deregisters images that did not become available, and deletes expired snapshots that belong to no other. An image
// that is available stays, whatever its tags say: its machine has reported success, and somebody may use it.
func (w *swath) sweepImages(ctx context.Context) error {
	images, err := w.images(ctx)
	if err != nil {
		return err
	}
	var errs []error
	var freed, spared []string
	for i := range images {
		id := aws.ToString(images[i].ImageId)
		if !slices.Contains(neverAvailable, images[i].State) {
			w.keep(&images[i])
			spared = append(spared, snapshotsOf(&images[i])...)
			continue
		}
		if err := deregister(ctx, w.api, id, false, time.Time{}); err != nil {
			errs = append(errs, fmt.Errorf("remove the expired image in %s: %w", w.region, err))
			spared = append(spared, snapshotsOf(&images[i])...)
			continue
		}
		w.swept(string(images[i].State)+" image", id)
		freed = append(freed, snapshotsOf(&images[i])...)
	}
	return errors.Join(append(errs, w.sweepSnapshots(ctx, freed, spared))...)
}

// images are the expired ones, in whatever state.
func (w *swath) images(ctx context.Context) ([]types.Image, error) {
	ids := w.ids[types.ResourceTypeImage]
	if len(ids) == 0 {
		return nil, nil
	}
	out, err := w.api.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners: []string{"self"}, IncludeDisabled: aws.Bool(true), Filters: []types.Filter{filter("image-id", ids...)},
	})
	if err != nil {
		return nil, fmt.Errorf("look for expired images in %s: %w", w.region, err)
	}
	return out.Images, nil
}

// keep notes an image that only a person can judge.
func (w *swath) keep(image *types.Image) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := aws.ToString(image.ImageId)
	w.kept = append(w.kept, fmt.Sprintf("%s (%q, %s) of bake %s in %s", id, aws.ToString(image.Name), image.State, w.bakes[id], w.region))
}

// sweepSnapshots deletes the expired snapshots that no image needs. Of those that were just freed, EC2 may not know it yet; of
// any other that is in use, EC2 knows better.
func (w *swath) sweepSnapshots(ctx context.Context, freed, spared []string) error {
	var errs []error
	for _, id := range w.ids[types.ResourceTypeSnapshot] {
		if slices.Contains(spared, id) {
			continue
		}
		limit := time.Duration(0)
		if slices.Contains(freed, id) {
			limit = snapshotTimeout
		}
		inUse := func(err error) bool { return hasCode(err, codeSnapshotInUse) }
		err := retryWhile(ctx, limit, inUse, func(ctx context.Context) error {
			_, err := w.api.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
			return err
		})
		switch {
		case err == nil:
			w.swept("snapshot", id)
		case !hasCode(err, codeSnapshotInUse, codeSnapshotNotFound):
			errs = append(errs, fmt.Errorf("delete the expired snapshot %s in %s: %w", id, w.region, err))
		}
	}
	return errors.Join(errs...)
}
