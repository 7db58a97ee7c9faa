// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machinelog

import (
	"cmp"
	"slices"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// gapTimeout is how long lines wait for those before them: the console may have damaged these, and the machine prints
// them again when it has nothing else to print.
const gapTimeout = 6 * time.Second

// waitingLimit is how much memory lines may take that wait for those before them, in bytes; more do not wait. A machine
// sends a tenth of it in gapTimeout.
const waitingLimit = 1 << 20

// stream puts the lines of one source into order, and returns each once.
type stream struct {
	returned int // how many lines were returned, or are known to be missing
	waiting  []guest.Lines
	size     int       // of waiting, in bytes of memory
	gapSince time.Time // since when lines have waited for others
}

// orderedLine is a line of the machine, or the number of lines that are missing there.
type orderedLine struct {
	text    string
	missing int
}

func (s *stream) add(l guest.Lines) {
	at, _ := slices.BinarySearchFunc(s.waiting, l.First+1, func(w guest.Lines, first int) int {
		return cmp.Compare(w.First, first)
	})
	s.waiting = slices.Insert(s.waiting, at, l)
	s.size += l.Memory()
}

// next returns the lines whose turn it is; at the end, all there are.
func (s *stream) next(now time.Time, end bool) []orderedLine {
	var out []orderedLine
	for len(s.waiting) > 0 {
		l := s.waiting[0]
		last := l.First + len(l.Text) - 1
		if last > s.returned && l.Since > s.returned+1 && !end {
			if s.gapSince.IsZero() {
				s.gapSince = now
			}
			if now.Sub(s.gapSince) < gapTimeout && s.size <= waitingLimit {
				return out
			}
		}
		s.waiting[0] = guest.Lines{} // so that its text can be freed
		s.waiting = s.waiting[1:]
		s.size -= l.Memory()
		s.gapSince = time.Time{}
		if last <= s.returned {
			continue
		}
		if missing := l.First - s.returned - 1; missing > 0 {
			out = append(out, orderedLine{missing: missing})
			s.returned = l.First - 1
		}
		for _, text := range l.Text[s.returned+1-l.First:] {
			out = append(out, orderedLine{text: text})
		}
		s.returned = last
	}
	return out
}
