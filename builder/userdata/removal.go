// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// removal is a call that removes something, with all its attempts. EC2 not knowing the thing means that it does not know it yet, unless
// the answer to an earlier attempt was lost: then that one has removed it.
type removal struct{ lost atomic.Bool }

// noted is the option of the call.
func (r *removal) noted(o *ec2.Options) { o.Retryer = noting{o.Retryer, r} }

// unlessLost is a reason to make the call again that does not hold after a lost answer.
func (r *removal) unlessLost(again func(error) bool) func(error) bool {
	return func(err error) bool { return again(err) && !r.lost.Load() }
}

// noting notes which answers were lost.
type noting struct {
	aws.Retryer

	removal *removal
}

func (n noting) IsErrorRetryable(err error) bool {
	if lost(err) {
		n.removal.lost.Store(true)
	}
	return n.Retryer.IsErrorRetryable(err)
}
