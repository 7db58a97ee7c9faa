// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// longestThrottledPause is how long the pause between two rounds becomes at most, while AWS throttles.
const longestThrottledPause = time.Minute

// ThrottleGuard keeps bakes that poll AWS within the limits of their account, which all of them share. While AWS
// throttles, each pause is twice as long as the one before, up to a minute; after each round that AWS does not throttle
// it is half as long, down to the normal pause. So many bakes at once make as many calls as the account has room for,
// and a bake that nothing throttles loses no time. The zero value is ready for use, by one goroutine.
type ThrottleGuard struct {
	throttled atomic.Bool
	// Unanswered is why AWS did not answer the last round; nil when it did.
	Unanswered error
}

// Observe records what became of a round. A round that was broken off because the wait is over says nothing about AWS.
func (g *ThrottleGuard) Observe(wait context.Context, err error) {
	// the connection may notice before the wait does
	late := errors.Is(err, context.DeadlineExceeded) && g.Unanswered != nil
	if wait.Err() == nil && !late {
		g.Unanswered = err
	}
}

// Annotate adds to the error of a wait that took too long why AWS did not answer, if it did not.
func (g *ThrottleGuard) Annotate(end error) error {
	if g.Unanswered == nil {
		return end
	}
	return fmt.Errorf("%w; AWS did not say: %w", end, g.Unanswered)
}

// RetryOnce is the option of a call within a polling loop, which makes it again in the next round anyway. The SDK
// retries it once, and not at all when AWS is throttling.
func (g *ThrottleGuard) RetryOnce(o *ec2.Options) {
	o.RetryMaxAttempts = 2
	o.Retryer = throttleRetryer{o.Retryer, g}
}

// Backoff makes the pause between rounds longer while AWS is throttling them.
func (g *ThrottleGuard) Backoff(next func() time.Duration) func() time.Duration {
	doubled := 0
	return func() time.Duration {
		switch {
		case g.throttled.Swap(false):
			doubled++
		case doubled > 0:
			doubled--
		}
		wait := next()
		for range doubled {
			wait = min(2*wait, max(wait, longestThrottledPause))
		}
		return wait
	}
}

// throttleRetryer records that AWS throttles, and does not retry then.
type throttleRetryer struct {
	aws.Retryer

	guard *ThrottleGuard
}

func (r throttleRetryer) IsErrorRetryable(err error) bool {
	if IsThrottled(err) {
		r.guard.throttled.Store(true)
		return false
	}
	return r.Retryer.IsErrorRetryable(err)
}
