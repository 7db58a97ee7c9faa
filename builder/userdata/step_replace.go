// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepReplace gives the name to the new images where old ones have it, for force_deregister. It comes when everything else
// that can fail has been done with the new ones under their temporary names.
type stepReplace struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepReplace) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return baking(ctx, state, phaseImage, replaceAll)
}

// replaceAll does not stop in one region because another has failed: an old image that is gone wants its new one.
func replaceAll(ctx context.Context, b *bake) error {
	errs := make([]error, len(b.places))
	var all sync.WaitGroup
	for i, p := range b.places {
		if len(p.old) > 0 {
			all.Go(func() { errs[i] = b.replace(ctx, p) })
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

func (b *bake) replace(ctx context.Context, p *place) error {
	fresh := p.image
	c, err := b.likeness(ctx, p, &fresh)
	if err != nil {
		return err
	}
	if err := b.removeOld(ctx, p); err != nil {
		return err
	}
	if p.image, err = b.copyImage(ctx, p, c); err != nil {
		return fmt.Errorf("give the name %q to %s in %s: %w", c.name, aws.ToString(fresh.ImageId), p.region, err)
	}
	p.kept = p.image
	if err := b.giveAttributes(ctx, p, &p.image); err != nil {
		return err
	}
	b.removeOldSnapshots(ctx, p)
	return nil
}

// likeness is a copy under the name that differs in nothing else. EC2 encrypts all snapshots of a copy with one key, and
// with the account's own unless told another.
func (b *bake) likeness(ctx context.Context, p *place, image *types.Image) (copying, error) {
	o, err := b.outlined(b.config.AMIName)
	c := copying{outline: o, from: aws.ToString(image.ImageId), fromRegion: p.region}
	if err != nil || !encrypted(image) {
		return c, err
	}
	c.encrypted = aws.Bool(true)
	if b.config.EncryptBoot.True() {
		c.key = b.config.key(p.region, b.home.region)
		return c, nil
	}
	out, err := p.api.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: snapshotsOf(image)})
	if err != nil {
		return c, fmt.Errorf("look up the keys of the snapshots of %s in %s: %w", c.from, p.region, err)
	}
	for i := range out.Snapshots {
		key := aws.ToString(out.Snapshots[i].KmsKeyId)
		if !aws.ToBool(out.Snapshots[i].Encrypted) || i > 0 && key != c.key {
			return c, fmt.Errorf("force_deregister cannot give the name %q to %s in %s: its disks are encrypted in different ways, "+
				"which a copy does not keep; deregister %s first, or encrypt them all with one key", o.name, c.from, p.region,
				aws.ToString(p.old[0].ImageId))
		}
		c.key = key
	}
	return c, nil
}

func encrypted(image *types.Image) bool {
	for _, d := range image.BlockDeviceMappings {
		if d.Ebs != nil && aws.ToBool(d.Ebs.Encrypted) {
			return true
		}
	}
	return false
}

// removeOld deregisters what has the name. From the call on, the new image is kept, because the call may take effect and
// its answer be lost.
func (b *bake) removeOld(ctx context.Context, p *place) error {
	p.kept, p.gone = p.image, true
	for i := range p.old {
		id := aws.ToString(p.old[i].ImageId)
		b.say("Deregistering %s in %s, which has the name (force_deregister)", id, p.region)
		own, cancel := settle(ctx)
		defer cancel()
		_, err := p.api.DeregisterImage(own, &ec2.DeregisterImageInput{ImageId: aws.String(id)})
		if orGone(err, codeImageNotFound, codeImageUnavailable) == nil {
			continue
		}
		there, findErr := isThere(own, p.api, id)
		if findErr == nil && !there {
			continue // the call took effect
		}
		if there {
			p.kept, p.gone = types.Image{}, false
		}
		return fmt.Errorf("deregister %s in %s, which has the name %q: %w", id, p.region, b.config.AMIName, err)
	}
	return nil
}

// removeOldSnapshots is for force_delete_snapshot. The new image is complete by now, so it is told, and no failure, when one
// stays: another image may be made of it.
func (b *bake) removeOldSnapshots(ctx context.Context, p *place) {
	if !b.config.ForceDeleteSnapshot {
		return
	}
	for i := range p.old {
		for _, snapshot := range b.config.snapshotsMade(&p.old[i]) {
			if err := deleteSnapshot(ctx, p.api, snapshot, time.Time{}); err != nil {
				b.warn("force_delete_snapshot: %s stays in %s: %s", snapshot, p.region, err)
			}
		}
	}
}
