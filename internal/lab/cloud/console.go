// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"sync"
	"time"
)

// consoleSize is how much of the console EC2 keeps: the most recent 64 KB
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html).
const consoleSize = 64 << 10

// console is what the machine printed, and what EC2 would show of it: without Latest only the
// text as it was at the last change of state.
type console struct {
	mu         sync.Mutex
	live       []byte
	captured   []byte
	capturedAt time.Time
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = append(c.live, p...)
	if over := len(c.live) - consoleSize; over > 0 {
		c.live = append(c.live[:0], c.live[over:]...)
	}
	return len(p), nil
}

// capture is called at each change of state.
func (c *console) capture(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.captured, c.capturedAt = append([]byte(nil), c.live...), now
}

// restart empties the live text for a new boot; the text of the last one stays captured.
func (c *console) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = nil
}

func (c *console) text(latest bool, now time.Time) ([]byte, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if latest {
		return append([]byte(nil), c.live...), now
	}
	return append([]byte(nil), c.captured...), c.capturedAt
}
