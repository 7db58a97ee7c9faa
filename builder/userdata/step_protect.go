// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepProtect protects the images from being deregistered, and finishes them: the last that can fail. Then it takes them out of
// the ledger.
type stepProtect struct {
	nothingToUndo
	output *stepOutput
}

// Run implements multistep.Step.
func (s *stepProtect) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return step(ctx, state, phaseImage, func(ctx context.Context, b *bake) error {
		err := inParallel(ctx, b.places, func(ctx context.Context, p *place) error {
			if err := b.protect(ctx, p); err != nil || b.reused {
				return err // what is returned once more is finished
			}
			return b.finish(ctx, p)
		})
		if err != nil {
			return err
		}
		if s.output.written != nil {
			b.ledger.keep(s.output.written)
		}
		b.keepImages()
		return nil
	})
}

func (b *bake) protect(ctx context.Context, p *place) error {
	wanted := b.config.DeregistrationProtection
	if !wanted.Enabled || protected(&p.image) {
		return nil
	}
	own, cancel := settle(ctx)
	defer cancel()
	err := retryWhile(own, visibleTimeout, notYet(p.newest, codeImageNotFound), func(ctx context.Context) error {
		_, err := p.api.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{
			ImageId: p.image.ImageId, WithCooldown: aws.Bool(wanted.WithCooldown),
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("set deregistration_protection of %s in %s: %w", p.imageID(), p.region, err)
	}
	return nil
}

// finish takes the expiry off an image and its snapshots. One that is available and still has it is one whose bake was killed
// before it was done: it may lack its copies, its sharing, or the name.
func (b *bake) finish(ctx context.Context, p *place) error {
	own, cancel := settle(ctx)
	defer cancel()
	err := retryWhile(own, visibleTimeout, notYet(p.newest, codeImageNotFound, codeSnapshotNotFound), func(ctx context.Context) error {
		_, err := p.api.DeleteTags(ctx, &ec2.DeleteTagsInput{
			Resources: append([]string{p.imageID()}, b.config.snapshotsMade(&p.image)...), Tags: []types.Tag{{Key: aws.String(tagExpires)}},
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("take the tag %s off %s in %s: %w", tagExpires, p.imageID(), p.region, err)
	}
	return nil
}

// keepImages takes what the bake was for out of the ledger. Where there are temporary images as well, the place stays in it:
// they are removed with everything else.
func (b *bake) keepImages() {
	b.done = true
	for _, p := range b.places {
		p.kept, p.gone = p.image, false
		if b.reused { // which was never in it
			continue
		}
		if len(p.made) == 1 {
			b.ledger.keep(p.entry)
		} else {
			p.entry.what = fmt.Sprintf("temporary images of bake %s in %s", b.id, p.region)
		}
	}
}
