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
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// RegionTarget is a region in which a bake makes images, and what it has made there. It is used by one goroutine at a
// time.
type RegionTarget struct {
	Region string
	EC2    *awscall.EC2
	// Image is the newest wanted image: under the name, or under a temporary name while an old image has the name.
	Image types.Image

	entry   *bake.Entry   // in the ledger from before the first image on
	old     []types.Image // the images that have the name and are to be replaced
	seen    []string      // the ids of the images that had the name when the bake began; nil if not known
	lost    []string      // the names of images that EC2 may have made although the call has failed
	made    []string      // the ids of the images that EC2 has begun to make
	newest  time.Time     // when the last of them was begun
	oldGone bool          // the old images are deregistered, or may be; Image stays from then on
	done    bool          // the bake has succeeded, and Image stays
}

// ImageID returns the id of the image, or "".
func (t *RegionTarget) ImageID() string { return aws.ToString(t.Image.ImageId) }

// kept returns the image that undoing leaves alone; the zero image when it removes all.
func (t *RegionTarget) kept() types.Image {
	if t.oldGone || t.done {
		return t.Image
	}
	return types.Image{}
}

// track records the id of an image that EC2 has begun to make.
func (t *RegionTarget) track(id string) {
	t.made, t.newest = append(t.made, id), time.Now()
	t.entry.What = fmt.Sprintf("image %s in %s", id, t.Region)
}

// addToLedger adds a region to the ledger, before the first call that makes something there.
func (m *Maker) addToLedger(t *RegionTarget) {
	if t.entry == nil {
		t.entry = m.bake.Ledger.Add(fmt.Sprintf("images of bake %s in %s", m.bake.ID, t.Region),
			func(ctx context.Context) error { return m.removeAll(ctx, t) },
			func() []string { return m.removalCommands(t) })
	}
}

// inWhichRegion returns the words that name a region, or "" for the region of the build, which a reader expects.
func (m *Maker) inWhichRegion(t *RegionTarget) string {
	if t == m.home {
		return ""
	}
	return " in " + t.Region
}

// errOtherRegion is the cause with which calls in other regions are cancelled when one region has failed.
var errOtherRegion = errors.New("given up, because another region has failed")

// ForEachRegion calls do for every region at the same time. The first failure cancels the others, and is what is
// returned.
func ForEachRegion(ctx context.Context, targets []*RegionTarget, do func(context.Context, *RegionTarget) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, len(targets))
	var all sync.WaitGroup
	for i, t := range targets {
		all.Go(func() {
			if errs[i] = do(ctx, t); errs[i] == nil {
				return
			}
			//nolint:errorlint // only this very cause
			if errors.Is(errs[i], context.Canceled) && context.Cause(ctx) == errOtherRegion {
				errs[i] = errOtherRegion
			}
			cancel(errOtherRegion)
		})
	}
	all.Wait()
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, errOtherRegion) })...)
}
