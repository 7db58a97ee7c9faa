// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

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

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// removeAll removes all images and snapshots of the bake in a region, except the image that is kept. It looks for them
// by the bake's tag, so it also finds what was made by a call whose answer was lost. What others have made with a copy
// of the tag stays.
func (m *Maker) removeAll(ctx context.Context, t *RegionTarget) error {
	images, err := m.taggedImages(ctx, t)
	errs := []error{err}
	kept := t.kept()
	inUse := SnapshotsOf(&kept)
	var snapshots []string
	for i := range images {
		id := aws.ToString(images[i].ImageId)
		if id == aws.ToString(kept.ImageId) {
			continue
		}
		if err := Deregister(ctx, t.EC2, id, IsProtected(&images[i]), t.newest); err != nil {
			// The call may have taken effect all the same.
			if exists, lookupErr := Exists(ctx, t.EC2, id); exists || lookupErr != nil {
				errs = append(errs, addSnapshots(err, &images[i]))
				inUse = append(inUse, SnapshotsOf(&images[i])...)
				continue
			}
		}
		snapshots = append(snapshots, m.settings.Image.OwnSnapshots(&images[i])...)
	}
	// The snapshots of an image that is still being made are not listed with the image.
	tagged, err := m.waitForSnapshots(ctx, t, images, snapshots)
	errs = append(errs, err)
	snapshots = slices.DeleteFunc(append(snapshots, tagged...), func(id string) bool {
		return slices.Contains(inUse, id)
	})
	return errors.Join(append(errs, DeleteSnapshots(ctx, t.EC2, snapshots, t.newest))...)
}

// addSnapshots adds to an error which snapshots stay with an image.
func addSnapshots(err error, image *types.Image) error {
	if ids := SnapshotsOf(image); len(ids) > 0 {
		return fmt.Errorf("%w; its snapshots stay as well: %s", err, strings.Join(ids, ", "))
	}
	return err
}

// lateSnapshotTimeout is how long EC2 may take to begin with the snapshots of an image that it was asked for.
const lateSnapshotTimeout = 20 * time.Second

// waitForSnapshots returns the snapshots of images with the bake's tag. When an image was given up before it had any,
// EC2 may be about to make them, so it waits for them. known are the snapshots that the images list.
func (m *Maker) waitForSnapshots(
	ctx context.Context, t *RegionTarget, images []types.Image, known []string,
) ([]string, error) {
	hasNoneYet := func(i types.Image) bool { // or EC2 does not list the image yet
		return (i.State == types.ImageStatePending || i.State == "") && len(SnapshotsOf(&i)) == 0
	}
	end := time.Now()
	if len(known) == 0 && slices.ContainsFunc(images, hasNoneYet) {
		end = end.Add(lateSnapshotTimeout)
	}
	var tagged []string
	err := awscall.Poll(ctx, awscall.Every(awscall.RetryPause), func(ctx context.Context) (done bool, err error) {
		tagged, err = taggedSnapshots(ctx, t.EC2, m.bake.ID, images)
		return len(tagged) > 0 || !time.Now().Before(end), err
	})
	return tagged, err
}

// taggedImages returns the images of the bake in a region. Those whose ids EC2 has answered with are always included:
// for a moment, EC2 may not find them by their tag.
func (m *Maker) taggedImages(ctx context.Context, t *RegionTarget) ([]types.Image, error) {
	var images []types.Image
	out, err := t.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{
		Owners: []string{"self"}, Filters: []types.Filter{awscall.Filter("tag:"+bake.TagBake, m.bake.ID)},
	})
	if err != nil {
		err = fmt.Errorf("look for images of bake %s in %s: %w", m.bake.ID, t.Region, err)
	} else {
		images = slices.DeleteFunc(out.Images, func(i types.Image) bool {
			lost := slices.Contains(t.lost, aws.ToString(i.Name)) && m.mayHaveMade(&i)
			return !lost && !slices.Contains(t.made, aws.ToString(i.ImageId))
		})
	}
	for _, id := range t.made {
		if !slices.ContainsFunc(images, func(i types.Image) bool { return aws.ToString(i.ImageId) == id }) {
			images = append(images, types.Image{ImageId: aws.String(id)})
		}
	}
	return images, err
}

// taggedSnapshots returns the snapshots with the tag of a bake that it has made for some images.
func taggedSnapshots(
	ctx context.Context, api *awscall.EC2, bakeID string, images []types.Image,
) ([]string, error) {
	out, err := api.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"}, Filters: []types.Filter{awscall.Filter("tag:"+bake.TagBake, bakeID)},
	})
	if err != nil {
		return nil, fmt.Errorf("look for the snapshots of bake %s, which stay if there are any: %w", bakeID, err)
	}
	var ids []string
	for i := range out.Snapshots {
		if MadeSnapshotFor(images, bakeID, &out.Snapshots[i]) {
			ids = append(ids, aws.ToString(out.Snapshots[i].SnapshotId))
		}
	}
	return ids, nil
}

// MadeSnapshotFor reports whether a bake has made a snapshot for one of some images: EC2 says so, or the image lists it
// and it has its own id as a tag.
func MadeSnapshotFor(images []types.Image, bakeID string, s *types.Snapshot) bool {
	return slices.ContainsFunc(images, func(i types.Image) bool {
		id := aws.ToString(i.ImageId)
		return ownership.MadeSnapshot(bakeID, s, id) &&
			(ownership.MadeForImage(s) == id || slices.Contains(SnapshotsOf(&i), aws.ToString(s.SnapshotId)))
	})
}

// removalCommands returns the commands that remove the images of a region, except the one that is kept. They find
// snapshots by the bake's tag and by EC2's description, which names the image that a snapshot was made for; EC2 refuses
// to delete those of the kept image.
func (m *Maker) removalCommands(t *RegionTarget) []string {
	cli, id := m.bake.CLI, m.bake.ID
	kept := t.kept()
	var all, descriptions []string
	for _, made := range t.made {
		descriptions = append(descriptions, fmt.Sprintf("Created by CreateImage(*) for %s*", made),
			fmt.Sprintf("Copied for DestinationAmi %s from*", made))
		if made != aws.ToString(kept.ImageId) {
			all = append(all, cli.CommandIn(t.Region, "ec2 deregister-image --image-id %s", made))
		}
	}
	if len(t.made) == 0 {
		return append(all, cli.CommandIn(t.Region,
			"ec2 describe-images --owners self --filters Name=tag:%s,Values=%s", bake.TagBake, id))
	}
	list := cli.CommandIn(t.Region, "ec2 describe-snapshots --owner-ids self --filters Name=tag:%s,Values=%s %s "+
		"--query 'Snapshots[].SnapshotId' --output text", bake.TagBake, id,
		bake.Word("Name=description,Values="+strings.Join(descriptions, ",")))
	return append(all, list+" | xargs -rn 1 "+cli.CommandIn(t.Region, "ec2 delete-snapshot")+" --snapshot-id")
}
