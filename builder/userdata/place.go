// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
)

// place is one region in which the bake makes images, and what it has made there. Each is used by one goroutine at a time.
type place struct {
	region string
	api    imageAPI
	entry  *entry        // in the ledger from before the first image on
	old    []types.Image // what has the name and is to be replaced
	made   []string      // the ids EC2 has answered with
	newest time.Time     // when the last of them was
	image  types.Image   // the newest that is wanted: under the name, or under a temporary one while old has it
	kept   types.Image   // what undoing leaves alone
	gone   bool          // old was deregistered, or may have been
}

// in is the EC2 of a region: with the credentials, the endpoint and the retries of the build's own.
func (b *bake) in(region string) imageAPI {
	if region == b.aws.config.Region {
		return b.aws.ec2
	}
	cfg := b.aws.config.Copy()
	cfg.Region = region
	return bindEC2(awsconfig.EC2(cfg, &b.config.Settings))
}

// wantedRegions are those that are to have the image when the bake has succeeded, the build's first.
func (b *bake) wantedRegions() []string {
	others := b.config.otherRegions(b.aws.config.Region)
	if b.config.SkipSaveBuildRegion {
		return others
	}
	return append([]string{b.aws.config.Region}, others...)
}

// openPlaces notes where images will be made. What has the name is looked for now, and not when the bake began: that may
// be an hour ago.
func (b *bake) openPlaces(ctx context.Context) error {
	b.makePlaces()
	if !b.config.ForceDeregister {
		return nil
	}
	return inParallel(ctx, b.places, func(ctx context.Context, p *place) (err error) {
		p.old, err = b.holders(ctx, p.region, p.api)
		return err
	})
}

// makePlaces notes the wanted regions, with nothing in them.
func (b *bake) makePlaces() {
	b.home = &place{region: b.aws.config.Region, api: b.aws.ec2}
	b.places = nil
	for _, region := range b.wantedRegions() {
		p := b.home
		if region != b.home.region {
			p = &place{region: region, api: b.in(region)}
		}
		b.places = append(b.places, p)
	}
}

// open puts a place into the ledger, before the first call that makes something there.
func (b *bake) open(p *place) {
	if p.entry == nil {
		p.entry = b.ledger.add(fmt.Sprintf("images of bake %s in %s", b.id, p.region), func(ctx context.Context) error {
			return b.clear(ctx, p)
		}).by(func() []string { return b.endImages(p) })
	}
}

// note adds the id of an image that EC2 has begun to make.
func (p *place) note(id string) {
	p.made, p.newest = append(p.made, id), time.Now()
	p.entry.what = fmt.Sprintf("image %s in %s", id, p.region)
}

// imageID is the id of the image that stays, or "".
func (p *place) imageID() string { return aws.ToString(p.image.ImageId) }

// survivors are the new images that stay although the bake has failed, because the ones they replace are gone.
func (b *bake) survivors() []string {
	var all []string
	for _, p := range b.places {
		if p.gone {
			all = append(all, fmt.Sprintf("%s in %s, named %q", aws.ToString(p.kept.ImageId), p.region, aws.ToString(p.kept.Name)))
			if b.config.ForceDeleteSnapshot { // they are deleted last, because the old image can be registered of them again
				for i := range p.old {
					all = append(all, snapshotsOf(&p.old[i])...)
				}
			}
		}
	}
	return all
}

// errElsewhere ends what goes on in other regions when one has failed.
var errElsewhere = errors.New("given up, because another region has failed")

// inParallel does something in every place at the same time. The first failure ends the others, and is what is returned.
func inParallel(ctx context.Context, places []*place, do func(context.Context, *place) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, len(places))
	var all sync.WaitGroup
	for i, p := range places {
		all.Go(func() {
			if errs[i] = do(ctx, p); errs[i] == nil {
				return
			}
			if errors.Is(errs[i], context.Canceled) && context.Cause(ctx) == errElsewhere { //nolint:errorlint // the very one
				errs[i] = errElsewhere
			}
			cancel(errElsewhere)
		})
	}
	all.Wait()
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, errElsewhere) })...)
}
