// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"bytes"
	"slices"
	"sync"
	"time"
)

const (
	// consoleSize is how much of the console EC2 shows: the last 64 KB, which may begin in the middle of a line
	// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html).
	consoleSize = 64 << 10
	// consoleHistory is how much the lab stores, to show the console as it was some time ago.
	consoleHistory = 1 << 20
	// consoleMarks is for how many moments the lab stores how much had been printed.
	consoleMarks = 1 << 14
)

// ConsoleView is what GetConsoleOutput shows of a console. The zero value is EC2's default.
type ConsoleView struct {
	Latest    bool          // the console as it is now; otherwise as it was at the last change of state
	Lag       time.Duration // the console as it was so long ago
	Tail      int           // the last bytes only; 0: as many as EC2 shows
	DropLines string        // leave out lines that contain this; "": none
	Empty     bool          // show nothing
	NotPosted bool          // when the machine is off, show what there was when it began to run
}

// console is what a machine has printed, and what EC2 shows of it: without Latest only the text at the last change of
// state.
type console struct {
	mu       sync.Mutex
	live     []byte
	total    int64 // bytes printed since the machine was started
	marks    []mark
	captures []capture
	off      bool
}

// mark is how many bytes had been printed at a time.
type mark struct {
	at    time.Time
	total int64
}

type capture struct {
	at   time.Time
	text []byte
	off  bool
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = append(c.live, p...)
	// not at each write, because the whole text is moved
	if over := len(c.live) - consoleHistory; over > consoleHistory {
		c.live = append(c.live[:0], c.live[over:]...)
	}
	c.total += int64(len(p))
	c.marks = append(c.marks, mark{time.Now(), c.total})
	if over := len(c.marks) - consoleMarks; over > consoleMarks {
		c.marks = append(c.marks[:0], c.marks[over:]...)
	}
	return len(p), nil
}

// capture stores the text at a change of state.
func (c *console) capture(now time.Time, off bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = off
	c.captures = append(c.captures, capture{now, append([]byte(nil), last(c.live, consoleSize)...), off})
	const maxCaptures = 8 // a lag does not go back further
	if over := len(c.captures) - maxCaptures; over > 0 {
		c.captures = append(c.captures[:0], c.captures[over:]...)
	}
}

// restart removes the live text, for the next start of the machine. Captured texts stay.
func (c *console) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live, c.marks, c.total, c.off = nil, nil, 0, false
}

// view returns what a view shows, and the time of that text.
func (c *console) view(v ConsoleView, now time.Time) ([]byte, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := now.Add(-v.Lag)
	var shown []byte
	switch {
	case v.Empty:
	case v.Latest && !(v.NotPosted && c.off):
		shown = c.liveAt(at)
	default:
		shown, at = c.capturedAt(at, v.NotPosted)
	}
	if v.DropLines != "" {
		shown = withoutLines(shown, v.DropLines)
	}
	shown = last(shown, consoleSize)
	if v.Tail > 0 {
		shown = last(shown, v.Tail)
	}
	return append([]byte(nil), shown...), at
}

// liveAt returns the live text as it was at a time.
func (c *console) liveAt(at time.Time) []byte {
	had := c.total
	for i := len(c.marks) - 1; i >= 0 && c.marks[i].at.After(at); i-- {
		had = 0
		if i > 0 {
			had = c.marks[i-1].total
		}
	}
	return c.live[:max(0, int64(len(c.live))-(c.total-had))]
}

// capturedAt returns the last text that was captured before a time; when runningOnly, only of a machine that was
// running.
func (c *console) capturedAt(at time.Time, runningOnly bool) ([]byte, time.Time) {
	for _, one := range slices.Backward(c.captures) {
		if !one.at.After(at) && !(runningOnly && one.off) {
			return one.text, one.at
		}
	}
	return nil, time.Time{}
}

func last(text []byte, n int) []byte { return text[max(0, len(text)-n):] }

// withoutLines leaves out the lines that contain a word.
func withoutLines(text []byte, word string) []byte {
	var kept []byte
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(word)) {
			kept = append(kept, line...)
		}
	}
	return kept
}
