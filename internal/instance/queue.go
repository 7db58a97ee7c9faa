// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// launchQueue retries a launch that AWS throttles. Many bakes at once launch faster than an account may. If each
// retried by itself, they would make several calls each, and the last ones would give up; so the bakes of one computer
// take turns.
type launchQueue struct {
	bake    *bake.Bake
	slots   LaunchSlots
	backoff *retry.ExponentialJitterBackoff
	end     time.Time
}

// longestPause is the SDK's between two attempts.
const longestPause = 20 * time.Second

// SignedMargin is how long a signed URL in user data must outlive instance_timeout: from the signing
// until the machine has booted, and for clocks that differ.
const SignedMargin = 10 * time.Minute

// longestLaunch is how long a launch waits at most, whatever max_retries is. Its user data is signed by then, for
// SignedMargin longer than the machine takes, and what was made for it expires after bake.ExpiryMargin.
const longestLaunch = SignedMargin * 4 / 5

// newLaunchQueue makes the queue of one launch, which begins now. It waits as long as max_retries of the longest pauses
// take, which is enough for hundreds of launches of other computers.
func newLaunchQueue(l *Launcher) *launchQueue {
	limit := min(time.Duration(l.MaxRetries)*longestPause, longestLaunch)
	return &launchQueue{
		bake: l.Bake, slots: l.Slots, backoff: retry.NewExponentialJitterBackoff(longestPause),
		end: time.Now().Add(limit),
	}
}

// isOver reports whether the launch has waited for as long as it may.
func (q *launchQueue) isOver() bool { return time.Now().After(q.end) }

// launch makes a call. While AWS throttles it, it waits for a slot and makes the call again. When others are waiting,
// it waits for a slot even before the first call.
func (q *launchQueue) launch(ctx context.Context, call func(context.Context) error) error {
	if q.slots.isReserved(time.Now()) {
		if err := q.awaitSlot(ctx, time.Now()); err != nil {
			return err
		}
	}
	for n := 0; ; n++ {
		err := call(ctx)
		if !awscall.IsThrottled(err) || q.isOver() {
			return err
		}
		if n == 0 {
			q.bake.Say("AWS limits how fast machines are launched; this launch waits for its turn")
		}
		if err := q.awaitSlot(ctx, time.Now().Add(q.pause(n))); err != nil {
			return err
		}
	}
}

// pause returns how long to wait for a slot after having been throttled n times before: not at all after the first
// time, because then it is the others of this computer that have to be waited for, which slots are for.
func (q *launchQueue) pause(n int) time.Duration {
	if n == 0 {
		return 0
	}
	pause, _ := q.backoff.BackoffDelay(n, nil) // it never fails
	return pause
}

// awaitSlot waits for the first free slot after a moment.
func (q *launchQueue) awaitSlot(ctx context.Context, after time.Time) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Until(q.slots.reserve(after))):
		return nil
	}
}

// queuedRetryer retries neither what AWS throttles, which launchQueue does, nor what it has no capacity for, which the
// SDK takes for a fault of AWS's that may pass: another option may do. It records when a failed attempt may have
// launched the machine, and says why the call is made again.
type queuedRetryer struct {
	aws.Retryer

	machine *Instance
	failed  int
	last    *error // set to what is retried
}

func (r *queuedRetryer) IsErrorRetryable(err error) bool {
	r.machine.maybeMade = r.machine.maybeMade || awscall.MayHaveTakenEffect(err)
	if awscall.IsThrottled(err) || awscall.IsCapacityError(err) || !r.Retryer.IsErrorRetryable(err) {
		return false
	}
	*r.last = awscall.AttemptError("RunInstances", err)
	if r.failed++; r.failed < r.MaxAttempts() {
		r.machine.bake.Say("Trying to launch it again: %s", *r.last)
	}
	return true
}
