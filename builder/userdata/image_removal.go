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

// removalAPI is what removing an image takes.
type removalAPI interface {
	imageReader
	imageRemover
}

// snapshotTimeout is how long a snapshot may still be in use after its image is deregistered.
const snapshotTimeout = time.Minute

// removeImage deregisters an image and deletes those of its snapshots that made tells of. It need not be there any more.
func removeImage(ctx context.Context, api removalAPI, id string, made func(*types.Image) []string) error {
	out, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if hasCode(err, codeImageNotFound, codeImageUnavailable) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up the snapshots of %s: %w", id, err)
	}
	var snapshots []string
	for i := range out.Images {
		if err := deregister(ctx, api, id, protected(&out.Images[i]), time.Time{}); err != nil {
			return err
		}
		snapshots = append(snapshots, made(&out.Images[i])...)
	}
	return deleteSnapshots(ctx, api, snapshots, time.Time{})
}

// deregister takes an image's protection off before, if it has any. Of one made a moment ago, EC2 may know neither that it is
// there nor that it is protected.
func deregister(ctx context.Context, api imageRemover, id string, guarded bool, made time.Time) error {
	if guarded {
		err := retryWhile(ctx, visibleTimeout, notYet(made, codeImageNotFound), func(ctx context.Context) error {
			_, err := api.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: aws.String(id)})
			return err
		})
		if orGone(err, codeImageNotFound, codeImageUnavailable) != nil {
			return fmt.Errorf("disable the deregistration protection of %s: %w", id, err)
		}
	}
	var tried removal
	err := retryWhile(ctx, visibleTimeout, tried.unlessLost(notYet(made, codeImageNotFound)), func(ctx context.Context) error {
		_, err := api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id)}, tried.noted)
		return err
	})
	switch {
	case guarded && hasCode(err, codeNotPermitted):
		return fmt.Errorf("deregister %s: its protection lasts for 24 hours after it was disabled (with_cooldown): %w", id, err)
	case !made.IsZero() && hasCode(err, codeNotPermitted):
		return deregister(ctx, api, id, true, made)
	case orGone(err, codeImageNotFound, codeImageUnavailable) != nil:
		return fmt.Errorf("deregister %s: %w", id, err)
	}
	return nil
}

// protected tells whether an image has deregistration protection.
func protected(image *types.Image) bool {
	state := aws.ToString(image.DeregistrationProtection)
	return state != "" && state != "disabled"
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

// snapshotsMade are the snapshots that were made with an image: all but those of the template's, by the snapshot_id of
// ami_block_device_mappings. EC2 takes these for the image as they are, and they stay the user's.
func (c *ImageConfig) snapshotsMade(image *types.Image) []string {
	return slices.DeleteFunc(snapshotsOf(image), func(id string) bool {
		return slices.ContainsFunc(c.AMIBlockDevices, func(d BlockDevice) bool { return d.SnapshotID == id })
	})
}

// deleteSnapshots deletes snapshots. Of some made a moment ago, EC2 may not know that they are there.
func deleteSnapshots(ctx context.Context, api imageRemover, ids []string, made time.Time) error {
	slices.Sort(ids)
	var errs []error
	for _, id := range slices.Compact(ids) {
		errs = append(errs, deleteSnapshot(ctx, api, id, made))
	}
	return errors.Join(errs...)
}

func deleteSnapshot(ctx context.Context, api imageRemover, id string, made time.Time) error {
	var tried removal
	unknown := tried.unlessLost(notYet(made, codeSnapshotNotFound))
	again := func(err error) bool { return hasCode(err, codeSnapshotInUse) || unknown(err) }
	err := retryWhile(ctx, snapshotTimeout, again, func(ctx context.Context) error {
		_, err := api.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)}, tried.noted)
		return err
	})
	if orGone(err, codeSnapshotNotFound) != nil {
		return fmt.Errorf("delete snapshot %s: %w", id, err)
	}
	return nil
}

// clear removes all images and snapshots of the bake in a place, but the image that is kept. They are known by the tag of
// the bake, so what a call has made whose answer was lost is found as well.
func (b *bake) clear(ctx context.Context, p *place) error {
	images, err := b.taggedImages(ctx, p)
	errs := []error{err}
	spared := snapshotsOf(&p.kept)
	var snapshots []string
	for i := range images {
		if aws.ToString(images[i].ImageId) == aws.ToString(p.kept.ImageId) {
			continue
		}
		if err := deregister(ctx, p.api, aws.ToString(images[i].ImageId), protected(&images[i]), p.newest); err != nil {
			if there, findErr := isThere(ctx, p.api, aws.ToString(images[i].ImageId)); there || findErr != nil {
				errs = append(errs, withSnapshots(err, &images[i]))
				spared = append(spared, snapshotsOf(&images[i])...) // in use as long as the image is there
				continue
			}
		}
		snapshots = append(snapshots, b.config.snapshotsMade(&images[i])...)
	}
	// Those of an image that is still being made are not listed with it.
	tagged, err := b.lateSnapshots(ctx, p, images, snapshots)
	errs = append(errs, err)
	snapshots = slices.DeleteFunc(append(snapshots, tagged...), func(id string) bool { return slices.Contains(spared, id) })
	return errors.Join(append(errs, deleteSnapshots(ctx, p.api, snapshots, p.newest))...)
}

// isThere tells whether an image is there although it was to be deregistered: the call may have taken effect all the same.
func isThere(ctx context.Context, api imageReader, id string) (bool, error) {
	out, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if hasCode(err, codeImageNotFound, codeImageUnavailable) || err == nil && len(out.Images) == 0 {
		return false, nil
	}
	return err == nil, err
}

// withSnapshots says what stays with an image.
func withSnapshots(err error, image *types.Image) error {
	if ids := snapshotsOf(image); len(ids) > 0 {
		return fmt.Errorf("%w; its snapshots stay as well: %s", err, strings.Join(ids, ", "))
	}
	return err
}

// lateTimeout is how long EC2 may take to begin with the snapshots of an image that it was asked for.
const lateTimeout = 20 * time.Second

// lateSnapshots are those of the bake's tag. When an image was given up before it had any, EC2 may only be about to make
// them, so they are waited for.
func (b *bake) lateSnapshots(ctx context.Context, p *place, images []types.Image, known []string) ([]string, error) {
	pending := func(i types.Image) bool { // or not even listed yet
		return (i.State == types.ImageStatePending || i.State == "") && len(snapshotsOf(&i)) == 0
	}
	end := time.Now()
	if len(known) == 0 && slices.ContainsFunc(images, pending) {
		end = end.Add(lateTimeout)
	}
	var tagged []string
	err := poll(ctx, every(2*time.Second), func(ctx context.Context) (done bool, err error) {
		tagged, err = taggedSnapshots(ctx, p.api, b.id)
		return len(tagged) > 0 || !time.Now().Before(end), err
	})
	return tagged, err
}

// taggedImages are the images of the bake in a place, those EC2 has told the ids of in any case: a tag may not be found for
// a moment.
func (b *bake) taggedImages(ctx context.Context, p *place) ([]types.Image, error) {
	var images []types.Image
	out, err := p.api.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners: []string{"self"}, Filters: []types.Filter{filter("tag:"+tagBake, b.id)},
	})
	if err != nil {
		err = fmt.Errorf("look for images of bake %s in %s: %w", b.id, p.region, err)
	} else {
		images = out.Images
	}
	for _, id := range p.made {
		if !slices.ContainsFunc(images, func(i types.Image) bool { return aws.ToString(i.ImageId) == id }) {
			images = append(images, types.Image{ImageId: aws.String(id)})
		}
	}
	return images, err
}

func taggedSnapshots(ctx context.Context, api imageRemover, bakeID string) ([]string, error) {
	out, err := api.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"}, Filters: []types.Filter{filter("tag:"+tagBake, bakeID)},
	})
	if err != nil {
		return nil, fmt.Errorf("look for the snapshots of bake %s, which stay if there are any: %w", bakeID, err)
	}
	var ids []string
	for i := range out.Snapshots {
		ids = append(ids, aws.ToString(out.Snapshots[i].SnapshotId))
	}
	return ids, nil
}
