// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// pulse keeps bakes that look at AWS again and again within the limits of their account, which all of them share. While AWS
// throttles, a round waits twice as long as the one before it, up to mostInterval; every round that it does not, half as
// long, down to what it would be. So many bakes at once make as many calls as the account has room for, and a bake that
// nothing throttles loses no time.
type pulse struct {
	throttled  atomic.Bool
	unanswered error // why AWS did not answer the last round; nil when it did
}

// heard notes what became of a round. One that was broken off because the wait is over says nothing of AWS.
func (p *pulse) heard(wait context.Context, err error) {
	late := errors.Is(err, context.DeadlineExceeded) && p.unanswered != nil // the connection may notice before the wait does
	if wait.Err() == nil && !late {
		p.unanswered = err
	}
}

// lastly adds to the end of a wait that was too long why AWS did not answer, if it did not: that may be all there is to it.
func (p *pulse) lastly(end error) error {
	if p.unanswered == nil {
		return end
	}
	return fmt.Errorf("%w; AWS did not say: %w", end, p.unanswered)
}

// once is the option of a call that is made again in the next round whatever becomes of it. It is tried a second time at
// once, but not when AWS is throttling: trying again is what it asks not to do.
func (p *pulse) once(o *ec2.Options) {
	o.RetryMaxAttempts = 2
	o.Retryer = listener{o.Retryer, p}
}

// stretch makes the wait between rounds longer while AWS is throttling them.
func (p *pulse) stretch(next func() time.Duration) func() time.Duration {
	doubled := 0
	return func() time.Duration {
		switch {
		case p.throttled.Swap(false):
			doubled++
		case doubled > 0:
			doubled--
		}
		wait := next()
		for range doubled {
			wait = min(2*wait, max(wait, mostInterval))
		}
		return wait
	}
}

// listener notes that AWS throttles.
type listener struct {
	aws.Retryer

	pulse *pulse
}

func (l listener) IsErrorRetryable(err error) bool {
	if throttled(err) {
		l.pulse.throttled.Store(true)
		return false
	}
	return l.Retryer.IsErrorRetryable(err)
}

// throttled tells whether AWS has refused a call because there were too many. Such a call has had no effect.
func throttled(err error) bool {
	return err != nil && retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}
