// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// Replace gives the new images their name where old images have it, for force_deregister. It is called when
// everything else that can fail has been done with the new images under their temporary names.
//
// It does not stop in one region because another has failed: where the old image is deregistered, the new one must
// get the name.
func (m *Maker) Replace(ctx context.Context) error {
	errs := make([]error, len(m.targets))
	var all sync.WaitGroup
	for i, t := range m.targets {
		if len(t.old) > 0 {
			all.Go(func() { errs[i] = m.replace(ctx, t) })
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

func (m *Maker) replace(ctx context.Context, t *RegionTarget) error {
	temporary := t.ImageID()
	c, err := m.renamingCopy(ctx, t)
	if err != nil {
		return err
	}
	if err := m.deregisterOld(ctx, t); err != nil {
		return err
	}
	image, err := m.copyImage(ctx, t, c)
	if err != nil {
		return fmt.Errorf("give the name %q to %s in %s: %w", c.spec.Name, temporary, t.Region, err)
	}
	t.Image = image
	if err := m.applyAttributes(ctx, t); err != nil {
		return err
	}
	m.deleteOldSnapshots(ctx, t)
	return nil
}

// renamingCopy returns a copy of a region's image that has the wanted name and differs in nothing else. EC2 encrypts
// all snapshots of a copy with one key, and with the account's own if the call names none.
func (m *Maker) renamingCopy(ctx context.Context, t *RegionTarget) (copyRequest, error) {
	spec, err := m.spec(m.settings.Image.AMIName)
	c := copyRequest{spec: spec, from: t.ImageID(), fromRegion: t.Region}
	if err != nil || !isEncrypted(&t.Image) {
		return c, err
	}
	c.encrypted = aws.Bool(true)
	if m.settings.Copy.EncryptBoot.True() {
		c.key = m.settings.Copy.key(t.Region, m.home.Region)
		return c, nil
	}
	out, err := t.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: SnapshotsOf(&t.Image)})
	if err != nil {
		return c, fmt.Errorf("look up the keys of the snapshots of %s in %s: %w", c.from, t.Region, err)
	}
	for i := range out.Snapshots {
		key := aws.ToString(out.Snapshots[i].KmsKeyId)
		if !aws.ToBool(out.Snapshots[i].Encrypted) || i > 0 && key != c.key {
			return c, fmt.Errorf("force_deregister cannot give the name %q to %s in %s: its disks are encrypted in "+
				"different ways, which a copy does not keep; deregister %s first, or encrypt them all with one key",
				spec.Name, c.from, t.Region, aws.ToString(t.old[0].ImageId))
		}
		c.key = key
	}
	return c, nil
}

// isEncrypted reports whether a disk of an image is encrypted.
func isEncrypted(image *types.Image) bool {
	for _, d := range image.BlockDeviceMappings {
		if d.Ebs != nil && aws.ToBool(d.Ebs.Encrypted) {
			return true
		}
	}
	return false
}

// deregisterOld deregisters the images that have the name. From its first call on, the new image is kept, because the
// call may take effect although its answer is lost.
func (m *Maker) deregisterOld(ctx context.Context, t *RegionTarget) error {
	t.oldGone = true
	for i := range t.old {
		id := aws.ToString(t.old[i].ImageId)
		m.bake.Say("Deregistering %s in %s, which has the name (force_deregister)", id, t.Region)
		exists, err := deregisterOnce(ctx, t.EC2, id)
		if exists {
			t.oldGone = false
		}
		if err != nil {
			return fmt.Errorf("deregister %s in %s, which has the name %q: %w",
				id, t.Region, m.settings.Image.AMIName, err)
		}
	}
	return nil
}

// deregisterOnce makes one call that deregisters an image. When the call fails, it returns an error unless the image
// is gone, and reports whether the image is known to exist.
func deregisterOnce(ctx context.Context, api *awscall.EC2, id string) (exists bool, err error) {
	ctx, cancel := awscall.Uninterruptible(ctx)
	defer cancel()
	_, err = api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id)})
	if err == nil || isImageGone(err) {
		return false, nil
	}
	exists, lookupErr := Exists(ctx, api, id)
	if lookupErr == nil && !exists {
		return false, nil // the call took effect
	}
	return exists, err
}

// deleteOldSnapshots deletes the snapshots of the replaced images, for force_delete_snapshot. The new image is
// complete by now, so a snapshot that stays is a warning: another image may be made of it.
func (m *Maker) deleteOldSnapshots(ctx context.Context, t *RegionTarget) {
	if !m.settings.Image.ForceDeleteSnapshot {
		return
	}
	for i := range t.old {
		made, others, err := madeSnapshots(ctx, t.EC2, &t.old[i])
		if err != nil {
			m.bake.Warn("force_delete_snapshot: the snapshots of %s stay in %s: %s", Describe(&t.old[i]), t.Region, err)
		}
		for _, id := range made {
			if err := deleteSnapshot(ctx, t.EC2, id, time.Time{}); err != nil {
				m.bake.Warn("force_delete_snapshot: %s stays in %s: %s", id, t.Region, err)
			}
		}
		for _, id := range others {
			if !slices.Contains(m.settings.Image.OwnSnapshots(&t.old[i]), id) {
				continue // the template names it
			}
			m.bake.Warn("force_delete_snapshot: %s stays in %s, because nothing proves that a bake has made it. To "+
				"delete it: %s", id, t.Region,
				m.bake.CLI.CommandIn(t.Region, "ec2 delete-snapshot --snapshot-id %s", id))
		}
	}
}

// madeSnapshots returns the snapshots of an image that the bake of the image has made, and the others. Some may be
// those that an earlier template has named.
func madeSnapshots(ctx context.Context, api *awscall.EC2, image *types.Image) (made, others []string, err error) {
	ids := SnapshotsOf(image)
	if len(ids) == 0 {
		return nil, nil, nil
	}
	out, err := api.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"}, Filters: []types.Filter{awscall.Filter("snapshot-id", ids...)},
	})
	if err != nil {
		return nil, nil, err
	}
	bakeID := awscall.TagMap(image.Tags)[bake.TagBake]
	for i := range out.Snapshots {
		s := &out.Snapshots[i]
		if ownership.MadeSnapshot(bakeID, s, aws.ToString(image.ImageId)) {
			made = append(made, aws.ToString(s.SnapshotId))
		} else {
			others = append(others, aws.ToString(s.SnapshotId))
		}
	}
	return made, others, nil
}

// KeptImages returns, for a bake that has failed, the new images that stay because the images they replace are gone,
// each in words. With force_delete_snapshot they include the old snapshots, which are deleted last: the old image can
// be registered from them again.
func (m *Maker) KeptImages() []string {
	var all []string
	for _, t := range m.targets {
		if !t.oldGone || t.done {
			continue
		}
		all = append(all, fmt.Sprintf("%s in %s, named %q", t.ImageID(), t.Region, aws.ToString(t.Image.Name)))
		if m.settings.Image.ForceDeleteSnapshot {
			for i := range t.old {
				all = append(all, SnapshotsOf(&t.old[i])...)
			}
		}
	}
	return all
}
