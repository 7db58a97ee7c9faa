// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package labtest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// Split prints each report in two writes with a pause between them, so that readers may see half of it.
func Split(pause time.Duration) func(*Machine, string) {
	return func(m *Machine, report string) {
		half := len(report) / 2
		m.Print(report[:half])
		time.Sleep(pause)
		m.Print(report[half:])
	}
}

// Doubled prints each report twice.
func Doubled(m *Machine, report string) { m.Print(report + report) }

// Interleaved prints lines of the kernel and systemd between reports and, in every nth one, in its middle, so that this
// report is lost. With n = 0 none is lost.
func Interleaved(n int64) func(*Machine, string) {
	var count atomic.Int64
	return func(m *Machine, report string) {
		i := count.Add(1)
		kernel := fmt.Sprintf("[%5d.%06d] audit: type=1400 apparmor=\"STATUS\"\r\n", i, i)
		if n > 0 && i%n == 0 {
			half := len(report) / 2
			m.Print(report[:half] + kernel + report[half:])
			return
		}
		// The kernel does not begin a new line when another line has not been ended.
		m.Print(kernel + "         Starting \x1b[0;1;39msystemd-\x1b[0m..." + report + kernel)
	}
}

// Mute drops reports that begin with one of these words, such as "verdict".
func Mute(words ...string) func(*Machine, string) {
	return func(m *Machine, report string) {
		// @bakery, code, length, bake id, number, commitment, words
		fields := strings.SplitN(strings.TrimSpace(report), " ", 7)
		for _, w := range words {
			if len(fields) == 7 && strings.HasPrefix(fields[6], w) {
				return
			}
		}
		m.Print(report)
	}
}
