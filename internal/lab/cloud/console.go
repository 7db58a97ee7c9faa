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
	// consoleSize is how much of the console EC2 keeps: the most recent 64 KB, which begin in the middle of a line
	// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html).
	consoleSize = 64 << 10
	// consoleHistory is how much the lab keeps, to show what there was a while ago.
	consoleHistory = 1 << 20
	// consoleMarks is how many moments of it the lab remembers.
	consoleMarks = 1 << 14
)

// ConsoleView is how a console is looked at. The zero value is what EC2 shows without Latest, when nothing is wrong.
type ConsoleView struct {
	Latest   bool          // as it is now; otherwise as it was at the last change of state
	Lag      time.Duration // as it was so long ago
	Keep     int           // bytes, the last ones; 0: as many as EC2 keeps
	Drop     string        // lines that hold this are lost; "": none
	Empty    bool          // there is nothing
	Unposted bool          // what came after the machine was seen running is lost once it is off
}

// console is what the machine printed, and what EC2 would show of it: without Latest only the
// text as it was at the last change of state.
type console struct {
	mu       sync.Mutex
	live     []byte
	total    int64 // bytes since the boot
	marks    []mark
	captures []capture
	off      bool
}

// mark is how much had been printed at a moment.
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
	if over := len(c.live) - consoleHistory; over > consoleHistory { // not at each write: it is moved as a whole
		c.live = append(c.live[:0], c.live[over:]...)
	}
	c.total += int64(len(p))
	c.marks = append(c.marks, mark{time.Now(), c.total})
	if over := len(c.marks) - consoleMarks; over > consoleMarks {
		c.marks = append(c.marks[:0], c.marks[over:]...)
	}
	return len(p), nil
}

// capture is called at each change of state.
func (c *console) capture(now time.Time, off bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = off
	c.captures = append(c.captures, capture{now, append([]byte(nil), last(c.live, consoleSize)...), off})
	const kept = 8 // changes of state, more than a lag can reach back
	if over := len(c.captures) - kept; over > 0 {
		c.captures = append(c.captures[:0], c.captures[over:]...)
	}
}

// restart empties the live text for a new boot; the text of the last one stays captured.
func (c *console) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live, c.marks, c.total, c.off = nil, nil, 0, false
}

// text is what a look shows, and of when.
func (c *console) text(v ConsoleView, now time.Time) ([]byte, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := now.Add(-v.Lag)
	var shown []byte
	switch {
	case v.Empty:
	case v.Latest && !(v.Unposted && c.off):
		shown = c.printed(at)
	default:
		shown, at = c.captured(at, v.Unposted)
	}
	if v.Drop != "" {
		shown = without(shown, v.Drop)
	}
	shown = last(shown, consoleSize)
	if v.Keep > 0 {
		shown = last(shown, v.Keep)
	}
	return append([]byte(nil), shown...), at
}

// printed is the live text as it was at a time.
func (c *console) printed(at time.Time) []byte {
	had := c.total
	for i := len(c.marks) - 1; i >= 0 && c.marks[i].at.After(at); i-- {
		had = 0
		if i > 0 {
			had = c.marks[i-1].total
		}
	}
	return c.live[:max(0, int64(len(c.live))-(c.total-had))]
}

func (c *console) captured(at time.Time, unposted bool) ([]byte, time.Time) {
	for _, one := range slices.Backward(c.captures) {
		if !one.at.After(at) && !(unposted && one.off) {
			return one.text, one.at
		}
	}
	return nil, time.Time{}
}

func last(text []byte, n int) []byte { return text[max(0, len(text)-n):] }

// without leaves out the lines that hold a word.
func without(text []byte, word string) []byte {
	var kept []byte
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(word)) {
			kept = append(kept, line...)
		}
	}
	return kept
}
