// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"context"
	"math/rand/v2"
	"time"
)

// RetryPause is the pause between two attempts of a call that AWS refuses for a moment, and between two looks for what
// AWS is about to show.
const RetryPause = 2 * time.Second

// ShortPause is the pause while something is expected to happen within seconds.
const ShortPause = time.Second

// Poll calls do at once, and then again and again until it reports that it is done, it fails, or ctx ends. The pause in
// between is what next returns, give or take a tenth, so that bakes that began together do not call AWS together. It
// does not grow by itself: a growing pause loses more time the longer the wait takes.
func Poll(ctx context.Context, next func() time.Duration, do func(context.Context) (done bool, err error)) error {
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

// Every returns a pause that is always the same.
func Every(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// FractionOfWait returns a pause of 1/n of the time since began, but at least ShortPause and at most longest. So at
// most 1/n of the whole wait is lost by looking late.
func FractionOfWait(began time.Time, n time.Duration, longest time.Duration) func() time.Duration {
	return func() time.Duration { return min(max(time.Since(began)/n, ShortPause), longest) }
}

func jitter(d time.Duration) time.Duration {
	tenth := d / 10
	return d - tenth + rand.N(2*tenth+1) //nolint:gosec // only spreads calls
}

// RetryWhile calls do until it succeeds, fails with an error that again does not hold for, or limit has passed. It is
// for what AWS refuses for a moment, because not all of AWS has seen an earlier call yet.
func RetryWhile(
	ctx context.Context, limit time.Duration, again func(error) bool, do func(context.Context) error,
) error {
	end := time.Now().Add(limit)
	return Poll(ctx, Every(RetryPause), func(ctx context.Context) (bool, error) {
		err := do(ctx)
		if err != nil && again(err) && time.Now().Before(end) {
			return false, nil
		}
		return true, err
	})
}

// WithCallTimeout returns the context of a call that is soon made again, whatever becomes of it. A call that is not
// answered must not take the whole time of the wait.
func WithCallTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	const limit = 30 * time.Second
	return context.WithTimeout(ctx, limit)
}

// Uninterruptible returns the context of a call that makes something. The call goes on when the bake is cancelled
// meanwhile: one that is broken off may still have taken effect, and then nobody knows what it made.
func Uninterruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	const limit = 2 * time.Minute // the SDK's ten attempts, with some of AWS's slowness
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}
