// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// SnapshotReleaseTimeout is how long a snapshot may still be in use after its image was deregistered.
const SnapshotReleaseTimeout = time.Minute

// Remove deregisters an image and deletes those of its snapshots that snapshots returns. An image that does not exist
// is no error.
func Remove(ctx context.Context, api *awscall.EC2, id string, snapshots func(*types.Image) []string) error {
	out, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if isImageGone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up the snapshots of %s: %w", id, err)
	}
	var ids []string
	for i := range out.Images {
		if err := Deregister(ctx, api, id, IsProtected(&out.Images[i]), time.Time{}); err != nil {
			return err
		}
		ids = append(ids, snapshots(&out.Images[i])...)
	}
	return DeleteSnapshots(ctx, api, ids, time.Time{})
}

// Deregister deregisters an image, after it has disabled its deregistration protection, if it has any. made is when
// the image was made, or zero if that is long ago: EC2 may know of a new image neither that it exists nor that it is
// protected.
func Deregister(ctx context.Context, api *awscall.EC2, id string, protected bool, made time.Time) error {
	if protected {
		if err := disableProtection(ctx, api, id, made); err != nil {
			return err
		}
	}
	var attempt awscall.Attempt
	again := attempt.UnlessApplied(awscall.NotVisibleYet(made, awscall.CodeImageNotFound))
	err := awscall.RetryWhile(ctx, awscall.VisibleTimeout, again, func(ctx context.Context) error {
		_, err := api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id)}, attempt.Track)
		return err
	})
	switch {
	case protected && awscall.HasCode(err, awscall.CodeNotPermitted):
		return fmt.Errorf("deregister %s: its protection lasts for 24 hours after it was disabled (with_cooldown): %w",
			id, err)
	case !made.IsZero() && awscall.HasCode(err, awscall.CodeNotPermitted):
		return Deregister(ctx, api, id, true, made)
	case err != nil && !isImageGone(err):
		return fmt.Errorf("deregister %s: %w", id, err)
	}
	return nil
}

func disableProtection(ctx context.Context, api *awscall.EC2, id string, made time.Time) error {
	again := awscall.NotVisibleYet(made, awscall.CodeImageNotFound)
	err := awscall.RetryWhile(ctx, awscall.VisibleTimeout, again, func(ctx context.Context) error {
		_, err := api.DisableImageDeregistrationProtection(ctx,
			&ec2.DisableImageDeregistrationProtectionInput{ImageId: aws.String(id)})
		return err
	})
	if err != nil && !isImageGone(err) {
		return fmt.Errorf("disable the deregistration protection of %s: %w", id, err)
	}
	return nil
}

// DeleteSnapshots deletes snapshots. made is when the newest was made, or zero if that is long ago: EC2 may not know
// yet that a new one exists.
func DeleteSnapshots(ctx context.Context, api *awscall.EC2, ids []string, made time.Time) error {
	slices.Sort(ids)
	var errs []error
	for _, id := range slices.Compact(ids) {
		errs = append(errs, deleteSnapshot(ctx, api, id, made))
	}
	return errors.Join(errs...)
}

func deleteSnapshot(ctx context.Context, api *awscall.EC2, id string, made time.Time) error {
	var attempt awscall.Attempt
	notVisible := attempt.UnlessApplied(awscall.NotVisibleYet(made, awscall.CodeSnapshotNotFound))
	again := func(err error) bool { return awscall.HasCode(err, awscall.CodeSnapshotInUse) || notVisible(err) }
	err := awscall.RetryWhile(ctx, SnapshotReleaseTimeout, again, func(ctx context.Context) error {
		_, err := api.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)}, attempt.Track)
		return err
	})
	if awscall.IgnoreNotFound(err, awscall.CodeSnapshotNotFound) != nil {
		return fmt.Errorf("delete snapshot %s: %w", id, err)
	}
	return nil
}
