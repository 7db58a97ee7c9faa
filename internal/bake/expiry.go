// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bake

import (
	"strings"
	"sync/atomic"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// ExpiryMargin is ample time for the steps that have no limit of their own: launching and attributes take minutes when
// AWS is slow, and the verdict of a machine on Xen and cleaning up take 15 each at most.
const ExpiryMargin = 45 * time.Minute

// SweepMargin is how long after its expiry a thing is left alone, for computers whose clocks differ.
const SweepMargin = 5 * time.Minute

// Clock is AWS's clock, as far as a bake and its sweep know it. The computers of an account's bakes may differ, and
// what one has tagged is swept by another. The zero value is this computer's clock.
type Clock struct {
	skew  atomic.Int64 // how much AWS's is ahead, in nanoseconds
	known atomic.Bool
}

// SetFrom sets the clock from the first answer of AWS that has a time. Later answers do not change it, so that a bake
// and its sweep use the same clock.
func (c *Clock) SetFrom(answer middleware.Metadata) {
	if skew, ok := awsmiddleware.GetAttemptSkew(answer); ok && !c.known.Load() {
		c.skew.Store(int64(skew))
		c.known.Store(true)
	}
}

// Known reports whether AWS has told its time.
func (c *Clock) Known() bool { return c.known.Load() }

// Now returns the time by AWS's clock, as far as that is known.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.skew.Load())) }

// The form of a name that says when it expires, for what cannot be tagged or cannot be found by its tags. Sorted, the
// names are in the order of their expiry.
const (
	ExpiringPrefix = "bakery-"
	expiringStamp  = "20060102T150405Z"
)

// ExpiringName returns a name such as bakery-20260102T030405Z-0123456789abcdef.
func ExpiringName(expires time.Time, bakeID string) string {
	return ExpiringPrefix + expires.UTC().Format(expiringStamp) + "-" + bakeID
}

// ParseExpiringName returns when a name of that form expires. Names of any other form never do.
func ParseExpiringName(name string) (expires time.Time, ok bool) {
	rest, ok := strings.CutPrefix(name, ExpiringPrefix)
	stamp, id, found := strings.Cut(rest, "-")
	if !ok || !found || !guest.IsBakeID(id) {
		return time.Time{}, false
	}
	expires, err := time.Parse(expiringStamp, stamp)
	return expires, err == nil && ExpiringName(expires, id) == name // time.Parse also reads fractions of a second
}
