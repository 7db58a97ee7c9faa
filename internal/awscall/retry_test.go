// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errTimeout = errors.New("the wait took too long")

func TestPollKeepsIntervalAndStopsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Second, errTimeout)
		defer cancel()
		var last time.Time
		calls := 0
		err := Poll(ctx, Every(10*time.Second), func(context.Context) (bool, error) {
			if gap := time.Since(last); calls > 0 && (gap < 9*time.Second || gap > 11*time.Second) {
				t.Errorf("call %d came after %s", calls, gap)
			}
			last = time.Now()
			calls++
			return false, nil
		})
		if !errors.Is(err, errTimeout) || calls < 9 || calls > 12 {
			t.Errorf("error %v after %d calls", err, calls)
		}
	})
}

func TestPollEnds(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		do    func(ctx context.Context, calls int) (bool, error)
		want  error
		calls int
	}{
		"at once":         {func(context.Context, int) (bool, error) { return true, nil }, nil, 1},
		"when it is done": {func(_ context.Context, calls int) (bool, error) { return calls == 3, nil }, nil, 3},
		"with an error":   {func(context.Context, int) (bool, error) { return false, refused }, refused, 1},
		"with the context": {
			func(ctx context.Context, _ int) (bool, error) { <-ctx.Done(); return false, ctx.Err() },
			errTimeout, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errTimeout)
				defer cancel()
				calls := 0
				err := Poll(ctx, Every(time.Second), func(ctx context.Context) (bool, error) {
					calls++
					return c.do(ctx, calls)
				})
				if !errors.Is(err, c.want) || calls != c.calls {
					t.Errorf("error %v after %d calls, want %v after %d", err, calls, c.want, c.calls)
				}
			})
		})
	}
}

func TestFractionOfWaitGrowsWithTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		next := FractionOfWait(began, 30, 5*time.Second)
		for _, c := range []struct{ after, want time.Duration }{
			{0, time.Second},
			{30 * time.Second, time.Second},
			{time.Minute, 2 * time.Second},
			{150 * time.Second, 5 * time.Second},
			{time.Hour, 5 * time.Second},
		} {
			time.Sleep(c.after - time.Since(began))
			if got := next(); got != c.want {
				t.Errorf("after %s the pause is %s, want %s", c.after, got, c.want)
			}
		}
	})
}

func TestRetryWhile(t *testing.T) {
	inUse, denied := apiError(CodeGroupInUse), apiError("UnauthorizedOperation")
	again := func(err error) bool { return HasCode(err, CodeGroupInUse) }
	for name, c := range map[string]struct {
		answers []error // the last one is repeated
		want    error
		least   time.Duration // that it takes
		most    time.Duration
	}{
		"success":                          {[]error{nil}, nil, 0, 0},
		"success after some attempts":      {[]error{inUse, inUse, nil}, nil, 3 * time.Second, 5 * time.Second},
		"an error that is not retried":     {[]error{inUse, denied}, denied, time.Second, 3 * time.Second},
		"an error that lasts for too long": {[]error{inUse}, inUse, time.Minute, time.Minute + 3*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, n := time.Now(), 0
				err := RetryWhile(t.Context(), time.Minute, again, func(context.Context) error {
					n++
					return c.answers[min(n, len(c.answers))-1]
				})
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("it took %s, want %s to %s", took, c.least, c.most)
				}
			})
		})
	}
}

func TestUninterruptibleCallOutlivesItsBakeButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bake, cancelBake := context.WithCancel(t.Context())
		ctx, cancel := Uninterruptible(bake)
		defer cancel()
		cancelBake()
		if ctx.Err() != nil {
			t.Error("the call is cancelled with the bake")
		}
		time.Sleep(time.Hour)
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("the call goes on after an hour: %v", ctx.Err())
		}
	})
}

func TestWithCallTimeoutEndsWithItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancelParent := context.WithCancel(t.Context())
		first, cancel := WithCallTimeout(parent)
		defer cancel()
		time.Sleep(31 * time.Second)
		if !errors.Is(first.Err(), context.DeadlineExceeded) {
			t.Errorf("after 31 s the context is %v", first.Err())
		}
		second, cancel := WithCallTimeout(parent)
		defer cancel()
		cancelParent()
		if !errors.Is(second.Err(), context.Canceled) {
			t.Errorf("when its parent is cancelled the context is %v", second.Err())
		}
	})
}
