// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"math/rand/v2"
	"time"
)

// poll calls do at once, and then again and again until it says that it is done, it fails, or ctx ends. The wait in
// between is what next says, give or take a tenth so that bakes that began together do not call AWS together; it does not
// grow by itself, because a growing one loses the more time the longer the machine took.
func poll(ctx context.Context, next func() time.Duration, do func(context.Context) (done bool, err error)) error {
	for {
		done, err := do(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx) // the call failed because its time was over
		case done || err != nil:
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(jitter(next())):
		}
	}
}

// every is a wait that is always the same.
func every(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// Shares of the time something has taken that may be lost by looking late.
const (
	thirtieth = 30 // of an image: some are there within seconds, and most take minutes
	fifth     = 5  // of a termination, which nobody waits for to use what was made
)

// share is a wait of a part of the time since began, but at least soon and at most the longest.
func share(began time.Time, part time.Duration, longest time.Duration) func() time.Duration {
	return func() time.Duration { return min(max(time.Since(began)/part, soon), longest) }
}

func jitter(d time.Duration) time.Duration {
	tenth := d / 10
	return d - tenth + rand.N(2*tenth+1) //nolint:gosec // only spreads calls
}

// retryWhile calls do until it succeeds, fails with an error that again does not hold for, or limit has passed. It is for
// what AWS refuses for a moment, while one thing it does is not finished for all of it.
func retryWhile(ctx context.Context, limit time.Duration, again func(error) bool, do func(context.Context) error) error {
	const interval = 2 * time.Second
	end := time.Now().Add(limit)
	return poll(ctx, every(interval), func(ctx context.Context) (bool, error) {
		err := do(ctx)
		if err != nil && again(err) && time.Now().Before(end) {
			return false, nil
		}
		return true, err
	})
}

// glance is the context of a call that is made again soon whatever becomes of it. A call that is not answered must not
// take the whole time of the machine.
func glance(ctx context.Context) (context.Context, context.CancelFunc) {
	const limit = 30 * time.Second
	return context.WithTimeout(ctx, limit)
}

// settle is the context of a call that makes something. It goes on when the bake is cancelled meanwhile, because a call
// that is broken off may still have taken effect, and then nobody knows what it made.
func settle(ctx context.Context) (context.Context, context.CancelFunc) {
	const limit = 2 * time.Minute // the SDK's ten attempts, with some of AWS's slowness
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}
