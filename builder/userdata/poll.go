// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"math/rand/v2"
	"time"
)

// poll calls do at once, and then again and again until it says that it is done, it fails, or ctx ends. The wait in
// between is what next says, give or take a tenth so that bakes that began together do not call AWS together; it never
// grows, because a growing one loses the more time the longer the machine took.
func poll(ctx context.Context, next func() time.Duration, do func(context.Context) (done bool, err error)) error {
	for {
		done, err := do(ctx)
		if done || err != nil {
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

// settle is the context of a call that makes something. It goes on when the bake is cancelled meanwhile, because a call
// that is broken off may still have taken effect, and then nobody knows what it made.
func settle(ctx context.Context) (context.Context, context.CancelFunc) {
	const limit = 2 * time.Minute // the SDK's ten attempts, with some of AWS's slowness
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}
