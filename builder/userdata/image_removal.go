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

// removalAPI is what removing an image takes.
type removalAPI interface {
	imageReader
	imageRemover
}

// snapshotTimeout is how long a snapshot may still be in use after its image is deregistered.
const snapshotTimeout = time.Minute

// removeImage deregisters an image and deletes its snapshots. Those of an image that is still being made are not listed
// with it, so they are looked for by the id of the bake as well, unless that is empty.
func removeImage(ctx context.Context, api removalAPI, id, bakeID string) error {
	snapshots, err := imageSnapshots(ctx, api, id)
	if err != nil {
		return err
	}
	if _, err := api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id)}); orGone(err, codeImageNotFound, codeImageUnavailable) != nil {
		return fmt.Errorf("deregister %s: %w", id, err)
	}
	if bakeID != "" {
		tagged, err := taggedSnapshots(ctx, api, bakeID)
		if err != nil {
			return err
		}
		snapshots = append(snapshots, tagged...)
	}
	slices.Sort(snapshots)
	var errs []error
	for _, snapshot := range slices.Compact(snapshots) {
		errs = append(errs, deleteSnapshot(ctx, api, snapshot))
	}
	return errors.Join(errs...)
}

func imageSnapshots(ctx context.Context, api imageReader, id string) ([]string, error) {
	out, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if hasCode(err, codeImageNotFound, codeImageUnavailable) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up the snapshots of %s: %w", id, err)
	}
	var ids []string
	for i := range out.Images {
		ids = append(ids, snapshotsOf(&out.Images[i])...)
	}
	return ids, nil
}

func snapshotsOf(image *types.Image) []string {
	var ids []string
	for _, d := range image.BlockDeviceMappings {
		if d.Ebs != nil && aws.ToString(d.Ebs.SnapshotId) != "" {
			ids = append(ids, *d.Ebs.SnapshotId)
		}
	}
	return ids
}

func taggedSnapshots(ctx context.Context, api imageRemover, bakeID string) ([]string, error) {
	out, err := api.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"}, Filters: []types.Filter{filter("tag:"+tagBake, bakeID)},
	})
	if err != nil {
		return nil, fmt.Errorf("look for snapshots of bake %s: %w", bakeID, err)
	}
	var ids []string
	for i := range out.Snapshots {
		ids = append(ids, aws.ToString(out.Snapshots[i].SnapshotId))
	}
	return ids, nil
}

func deleteSnapshot(ctx context.Context, api imageRemover, id string) error {
	inUse := func(err error) bool { return hasCode(err, codeSnapshotInUse) }
	err := retryWhile(ctx, snapshotTimeout, inUse, func(ctx context.Context) error {
		_, err := api.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
		return orGone(err, codeSnapshotNotFound)
	})
	if err != nil {
		return fmt.Errorf("delete snapshot %s: %w", id, err)
	}
	return nil
}

// removeOwnImage removes the image of a bake that did not succeed.
func (b *bake) removeOwnImage(ctx context.Context) error {
	if b.imageID == "" {
		if err := b.findOwnImage(ctx); err != nil || b.imageID == "" {
			return err
		}
	}
	return removeImage(ctx, b.aws.ec2, b.imageID, b.id)
}

// findOwnImage looks for the image of a call whose answer was lost: the one that has the name, and this bake's id.
func (b *bake) findOwnImage(ctx context.Context) error {
	images, err := b.ownImages(ctx)
	if err != nil {
		return err
	}
	for i := range images {
		if tagMap(images[i].Tags)[tagBake] == b.id {
			b.imageID = aws.ToString(images[i].ImageId)
		}
	}
	return nil
}

// makeRoom deregisters the image that has the name, for force_deregister.
func (b *bake) makeRoom(ctx context.Context) error {
	old, err := b.ownImages(ctx)
	if err != nil {
		return err
	}
	for i := range old {
		id := aws.ToString(old[i].ImageId)
		b.say("Deregistering %s, which has the name (force_deregister)", id)
		if _, err := b.aws.ec2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id)}); orGone(err, codeImageNotFound, codeImageUnavailable) != nil {
			return fmt.Errorf("deregister %s, which has the name %q: %w", id, b.config.AMIName, err)
		}
		if !b.config.ForceDeleteSnapshot {
			continue
		}
		for _, snapshot := range snapshotsOf(&old[i]) {
			if err := deleteSnapshot(ctx, b.aws.ec2, snapshot); err != nil {
				return err
			}
		}
	}
	return nil
}
