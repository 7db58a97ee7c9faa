// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// Attempt is a call that makes or deletes something, with all its retries. That EC2 does not find a thing to delete
// usually means that the thing is new and not visible yet; that it has a thing of the name to make, that it is somebody
// else's. After an attempt whose answer was lost, both mean that this attempt has taken effect.
type Attempt struct{ mayBeApplied atomic.Bool }

// Track is the option of the call that watches its retries.
func (a *Attempt) Track(o *ec2.Options) { o.Retryer = trackingRetryer{o.Retryer, a} }

// MayBeApplied reports whether an attempt may have taken effect although the call has failed.
func (a *Attempt) MayBeApplied() bool { return a.mayBeApplied.Load() }

// UnlessApplied returns a condition for a retry: that of again, and that no earlier attempt may have deleted the thing.
func (a *Attempt) UnlessApplied(again func(error) bool) func(error) bool {
	return func(err error) bool { return again(err) && !a.mayBeApplied.Load() }
}

// trackingRetryer records which attempts may have taken effect.
type trackingRetryer struct {
	aws.Retryer

	attempt *Attempt
}

func (r trackingRetryer) IsErrorRetryable(err error) bool {
	if MayHaveTakenEffect(err) {
		r.attempt.mayBeApplied.Store(true)
	}
	return r.Retryer.IsErrorRetryable(err)
}
