// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// queue is where a launch waits that AWS throttles. Many bakes at once launch faster than an account may. If each tried again
// by itself, they would make several calls each, and the last ones give up; so those of one computer take turns.
type queue struct {
	b       *bake
	backoff *retry.ExponentialJitterBackoff
	limit   time.Duration
}

// longestPause is the SDK's between two attempts.
const longestPause = 20 * time.Second

// longestLaunch is how long a launch waits at most, whatever max_retries is. Its user data is signed by then, for signedMargin
// longer than the machine takes, and what was made for it expires after expiryMargin.
const longestLaunch = signedMargin * 4 / 5

// newQueue makes the queue of one launch. It is as patient as max_retries of the longest pauses, which is for hundreds of
// launches of other computers.
func newQueue(b *bake) *queue {
	return &queue{
		b: b, backoff: retry.NewExponentialJitterBackoff(longestPause),
		limit: min(time.Duration(b.config.MaxRetries)*longestPause, longestLaunch),
	}
}

// wait makes a call at its turn while AWS throttles it, and the first time already when others are waiting.
func (q *queue) wait(ctx context.Context, call func(context.Context) error) error {
	end := time.Now().Add(q.limit)
	if q.b.turns.taken(time.Now()) {
		if err := q.turn(ctx, time.Now()); err != nil {
			return err
		}
	}
	for n := 0; ; n++ {
		err := call(ctx)
		if !throttled(err) || time.Now().After(end) {
			return err
		}
		if n == 0 {
			q.b.say("AWS limits how fast machines are launched; this launch waits for its turn")
		}
		if err := q.turn(ctx, time.Now().Add(q.pause(n))); err != nil {
			return err
		}
	}
}

// pause is how long to stay away after being throttled so often: not at all after the first time, because then it is the
// others of this computer that one has to wait for, and turns are for that.
func (q *queue) pause(n int) time.Duration {
	if n == 0 {
		return 0
	}
	pause, _ := q.backoff.BackoffDelay(n, nil) // it never fails
	return pause
}

// turn waits for the first one after a moment.
func (q *queue) turn(ctx context.Context, after time.Time) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Until(q.b.turns.take(after))):
		return nil
	}
}

// queuing leaves what AWS throttles to the queue, and notes of every other attempt that it may have launched the machine.
type queuing struct {
	aws.Retryer

	machine *machine
}

func (r queuing) IsErrorRetryable(err error) bool {
	r.machine.unclear = r.machine.unclear || lost(err)
	return !throttled(err) && r.Retryer.IsErrorRetryable(err)
}
