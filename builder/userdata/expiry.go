// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"strings"
	"sync/atomic"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

// expiry is when whatever is made now may be removed by whoever finds it. A bake that is alive is never that old: it is the
// sum of the limits of all that may still come.
func (b *bake) expiry() time.Time {
	c := b.config
	lasts := c.InstanceTimeout + c.ImageTimeout + expiryMargin
	if c.spot() { // which may be taken back once
		lasts += c.InstanceTimeout
	}
	if c.ForceDeregister { // a copy takes the name at the end
		lasts += c.ImageTimeout
	}
	if c.viaIntermediary() || len(c.AMIRegions) > 0 { // all copies are made at the same time
		lasts += c.ImageTimeout
	}
	if c.BootMode != "" || c.TPMSupport != "" { // registered anew
		lasts += c.ImageTimeout
	}
	return b.now().Add(lasts).UTC().Truncate(time.Second)
}

// expiryMargin is ample time for the steps that have no limit of their own: launching, the verdict and attributes take
// minutes when AWS is slow, and cleaning up at most cleanupTimeout.
const expiryMargin = 30 * time.Minute

// slowestUpload is what an upload is given time for: 2 Mbit/s.
const slowestUpload = 256 << 10

// stagingExpiry is the expiry of what is staged. As S3 has no tags that the machine's own upload could set, it is part of the
// names: of all that is staged, and all that the machine uploads.
func (b *bake) stagingExpiry() time.Time {
	bytes := b.payload.fs.Size + b.payload.recording.file.Size
	return b.expiry().Add(time.Duration(bytes/slowestUpload) * time.Second)
}

// now is the time by AWS's clock, as far as that is known: the computers of the bakes of an account may differ, and what one
// has tagged is swept by another.
func (b *bake) now() time.Time { return time.Now().Add(time.Duration(b.clock.skew.Load())) }

// clock is AWS's, as the bake and its sweep learn of it.
type clock struct {
	skew  atomic.Int64 // how much it is ahead, in nanoseconds
	known atomic.Bool
}

// set learns AWS's time from the first of its answers that says it: a bake and its sweep go by one clock.
func (c *clock) set(answer middleware.Metadata) {
	if skew, ok := awsmiddleware.GetAttemptSkew(answer); ok && !c.known.Load() {
		c.skew.Store(int64(skew))
		c.known.Store(true)
	}
}

// The form of a name that says itself when it expires, for what cannot be tagged or be found by its tags. Sorted, the names
// are in the order of their expiry.
const (
	expiringPrefix = "bakery-"
	expiringStamp  = "20060102T150405Z"
)

// expiringName is bakery-20260102T030405Z-0123456789abcdef.
func expiringName(expires time.Time, bakeID string) string {
	return expiringPrefix + expires.UTC().Format(expiringStamp) + "-" + bakeID
}

// expiryOf is when a name of that form expires. Names of any other form never do.
func expiryOf(name string) (expires time.Time, ok bool) {
	rest, ok := strings.CutPrefix(name, expiringPrefix)
	stamp, id, found := strings.Cut(rest, "-")
	if !ok || !found || !isBakeID(id) {
		return time.Time{}, false
	}
	expires, err := time.Parse(expiringStamp, stamp)
	return expires, err == nil
}

// isBakeID tells whether a text is what guest.NewBakeID makes.
func isBakeID(text string) bool {
	const digits = 16
	return len(text) == digits && strings.Trim(text, "0123456789abcdef") == ""
}
