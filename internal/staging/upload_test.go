// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package staging

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestUploadsMayBeSlow checks that an upload gets the time that a slow link needs, and ends soon after its bake was
// cancelled.
func TestUploadsMayBeSlow(t *testing.T) {
	t.Parallel()
	const size = 5 << 20
	for name, c := range map[string]struct {
		cancelAfter, want time.Duration
	}{
		"slow":      {time.Hour, callLimit + size/slowestLink*time.Second},
		"cancelled": {time.Minute, time.Minute + callLimit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), c.cancelAfter)
				defer cancel()
				began := time.Now()
				call, end := uninterruptible(ctx, size)
				defer end()
				<-call.Done()
				if took := time.Since(began); took != c.want {
					t.Errorf("the call was given %s, want %s", took, c.want)
				}
			})
		})
	}
}
