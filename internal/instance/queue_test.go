// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// rateLimit is a token bucket, as EC2 has one for RunInstances.
type rateLimit struct {
	mu     sync.Mutex
	tokens float64
	at     time.Time
	calls  int
}

var errThrottled = &smithy.GenericAPIError{Code: "RequestLimitExceeded"}

func (b *rateLimit) call(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	const burst, refill = 5, 2
	b.tokens = min(burst, b.tokens+refill*time.Since(b.at).Seconds())
	b.at = time.Now()
	if b.tokens < 1 {
		return errThrottled
	}
	b.tokens--
	return nil
}

func TestConcurrentLaunchesShareRateLimit(t *testing.T) {
	const launches = 50
	for name, c := range map[string]struct {
		together      bool // on one computer
		calls         int  // at most
		within, least time.Duration
	}{
		// With 5 at once and 2 a second, 50 launches take 23 seconds. Those that begin together are throttled once.
		"of one computer": {true, 2*launches + 5, 30 * time.Second, 22 * time.Second},
		// They do not know of each other.
		"of as many computers": {false, 10 * launches, 2 * time.Minute, 22 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			shared := LaunchSlots{dir: t.TempDir()}
			synctest.Test(t, func(t *testing.T) {
				ec2 := &rateLimit{tokens: 5, at: time.Now()}
				began := time.Now()
				var all sync.WaitGroup
				for range launches {
					q := newTestQueue(LaunchSlots{}, 10)
					if c.together {
						q.slots = shared
					}
					all.Go(func() {
						time.Sleep(rand.N(2 * time.Second)) // packer starts them one after the other
						if err := q.launch(t.Context(), ec2.call); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				took := time.Since(began)
				t.Logf("%d launches took %s and %d calls", launches, took, ec2.calls)
				if took < c.least || took > c.within || ec2.calls > c.calls {
					t.Errorf("want %s and %d calls at most", c.within, c.calls)
				}
			})
		})
	}
}

func TestLaunchQueueEnds(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		call   func(int) error
		cancel time.Duration
		want   error
		least  time.Duration
	}{
		"with any other error": {func(int) error { return refused }, 0, refused, 0},
		"with another error after a while": {
			func(n int) error { return []error{errThrottled, errThrottled, refused}[n] }, 0, refused, 0,
		},
		"when its time is over": {
			func(int) error { return errThrottled }, 0, errThrottled, 40 * time.Second,
		},
		"when the bake is cancelled": {
			func(int) error { return errThrottled }, 3 * time.Second, context.Canceled, 3 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			slots := LaunchSlots{dir: t.TempDir()}
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.cancel > 0 {
					time.AfterFunc(c.cancel, cancel)
				}
				n, began := 0, time.Now()
				err := newTestQueue(slots, 2).launch(ctx, func(context.Context) error { n++; return c.call(n - 1) })
				if !errors.Is(err, c.want) {
					t.Errorf("it ended with %v, want %v", err, c.want)
				}
				if took := time.Since(began); took < c.least || took > c.least+time.Minute {
					t.Errorf("it took %s, want %s", took, c.least)
				}
			})
		})
	}
}

func TestOldLaunchSlotsAreRemoved(t *testing.T) {
	slots := LaunchSlots{dir: t.TempDir()}
	now := time.Now()
	for range 3 {
		slots.reserve(now.Add(-time.Hour))
	}
	if slots.isReserved(now) {
		t.Error("a slot that is over counts as reserved")
	}
	if got := slots.reserve(now); got.Before(now) || got.After(now.Add(2*slotInterval)) {
		t.Errorf("the first slot is %s from now", got.Sub(now))
	}
	if !slots.isReserved(now) {
		t.Error("a reserved slot does not count")
	}
	files, err := os.ReadDir(slots.dir)
	if err != nil || len(files) != 1 {
		t.Errorf("there are %d slots: %v", len(files), err)
	}
}

// newTestQueue returns the queue of a launch, among those that have slots in the same directory.
func newTestQueue(slots LaunchSlots, maxRetries int) *launchQueue {
	ui := &packersdk.BasicUi{Writer: io.Discard, ErrorWriter: io.Discard}
	return newLaunchQueue(&Launcher{Bake: &bake.Bake{UI: ui}, Slots: slots, MaxRetries: maxRetries})
}
