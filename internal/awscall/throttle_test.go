// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"
)

func TestThrottledPollsSlowDownAndRecover(t *testing.T) {
	var g ThrottleGuard
	o := ec2.Options{Retryer: standardRetryer}
	g.RetryOnce(&o)
	throttled := apiError("RequestLimitExceeded")
	next := g.Backoff(Every(5 * time.Second))
	var got []time.Duration
	for _, err := range []error{
		nil, throttled, throttled, throttled, throttled, throttled, nil, nil, nil, nil, nil, nil,
	} {
		if err != nil && o.Retryer.IsErrorRetryable(err) {
			t.Error("a throttled poll is retried at once")
		}
		got = append(got, next()/time.Second)
	}
	want := []time.Duration{5, 10, 20, 40, 60, 60, 60, 40, 20, 10, 5, 5}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the pauses in seconds (-want +got):\n%s", diff)
	}
}

func TestPollThatIsNotThrottledIsRetriedOnce(t *testing.T) {
	o := ec2.Options{Retryer: standardRetryer}
	new(ThrottleGuard).RetryOnce(&o)
	if o.RetryMaxAttempts != 2 {
		t.Errorf("a poll is tried %d times, want 2", o.RetryMaxAttempts)
	}
	if !o.Retryer.IsErrorRetryable(apiError("InternalError")) {
		t.Error("a poll that AWS fails to answer is not retried")
	}
}

func TestBackoffKeepsPausesThatAreLongAnyway(t *testing.T) {
	var g ThrottleGuard
	next := g.Backoff(Every(2 * time.Minute))
	g.throttled.Store(true)
	if got := next(); got != 2*time.Minute {
		t.Errorf("the pause is %s", got)
	}
}

// Many bakes poll an account that allows one call a second. Each of them goes on as soon as it is alone.
func TestThrottledPollsOfManyBakesShareTheLimit(t *testing.T) {
	const bakes = 20
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		allowed, throttled, last := 0, 0, time.Time{}
		answers := make(chan error)
		calls := make(chan struct{})
		go func() {
			for range calls {
				if time.Since(last) < time.Second {
					throttled++
					answers <- apiError("RequestLimitExceeded")
					continue
				}
				allowed, last = allowed+1, time.Now()
				answers <- nil
			}
		}()
		done := make(chan struct{})
		for range bakes {
			go func() {
				defer func() { done <- struct{}{} }()
				poll(ctx, calls, answers)
			}()
		}
		for range bakes {
			<-done
		}
		close(calls)
		if throttled > allowed {
			t.Errorf("%d calls were throttled, and %d were not", throttled, allowed)
		}
		if allowed < 10*bakes {
			t.Errorf("%d polls of %d bakes were answered in 20 minutes", allowed, bakes)
		}
	})
}

// poll polls every five seconds, as long as ctx lasts.
func poll(ctx context.Context, calls chan<- struct{}, answers <-chan error) {
	var g ThrottleGuard
	o := ec2.Options{Retryer: standardRetryer}
	g.RetryOnce(&o)
	_ = Poll(ctx, g.Backoff(Every(5*time.Second)), func(context.Context) (bool, error) {
		calls <- struct{}{}
		if err := <-answers; err != nil {
			o.Retryer.IsErrorRetryable(err)
		}
		return false, nil
	})
}

func TestEndOfWaitSaysWhyAWSDidNotAnswer(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	throttled := errors.New("throttled")
	timeout := errors.New("instance_timeout is over")
	for name, c := range map[string]struct {
		observe func(*ThrottleGuard)
		want    string
	}{
		"the last round was answered": {
			func(g *ThrottleGuard) {
				g.Observe(t.Context(), throttled)
				g.Observe(t.Context(), nil)
			},
			"instance_timeout is over",
		},
		"the last round was throttled": {
			func(g *ThrottleGuard) { g.Observe(t.Context(), throttled) },
			"instance_timeout is over; AWS did not say: throttled",
		},
		"the last round was cut off by the end of the wait": {
			func(g *ThrottleGuard) {
				g.Observe(t.Context(), throttled)
				g.Observe(over, nil)
			},
			"instance_timeout is over; AWS did not say: throttled",
		},
		"the last round timed out just before the wait did": {
			func(g *ThrottleGuard) {
				g.Observe(t.Context(), throttled)
				g.Observe(t.Context(), context.DeadlineExceeded)
			},
			"instance_timeout is over; AWS did not say: throttled",
		},
		"the only round timed out": {
			func(g *ThrottleGuard) { g.Observe(t.Context(), context.DeadlineExceeded) },
			"instance_timeout is over; AWS did not say: context deadline exceeded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := new(ThrottleGuard)
			c.observe(g)
			if got := g.Annotate(timeout).Error(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
