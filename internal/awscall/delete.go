// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// DeleteAttempt is a call that deletes something, with all its retries. That EC2 does not find the thing usually means
// that the thing is new and not visible yet. After an attempt whose answer was lost, it means that this attempt has
// deleted it.
type DeleteAttempt struct{ mayBeApplied atomic.Bool }

// Track is the option of the call that watches its retries.
func (a *DeleteAttempt) Track(o *ec2.Options) { o.Retryer = trackingRetryer{o.Retryer, a} }

// UnlessApplied returns a condition for a retry: that of again, and that no earlier attempt may have deleted the thing.
func (a *DeleteAttempt) UnlessApplied(again func(error) bool) func(error) bool {
	return func(err error) bool { return again(err) && !a.mayBeApplied.Load() }
}

// trackingRetryer records which attempts may have taken effect.
type trackingRetryer struct {
	aws.Retryer

	attempt *DeleteAttempt
}

func (r trackingRetryer) IsErrorRetryable(err error) bool {
	if MayHaveTakenEffect(err) {
		r.attempt.mayBeApplied.Store(true)
	}
	return r.Retryer.IsErrorRetryable(err)
}
