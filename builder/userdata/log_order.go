// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"cmp"
	"slices"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// gapPatience is how long lines wait for those before them: the console may have damaged them, and the machine prints them
// again when it has nothing else to print.
const gapPatience = 6 * time.Second

// stream puts the lines of one source into order, and gives each once.
type stream struct {
	told    int // how many lines were given, or are known to be missing
	waiting []guest.Lines
	gap     time.Time // since when lines have waited for others
}

// told is a line of the machine, or how many are missing there.
type told struct {
	text    string
	missing int
}

func (s *stream) add(l guest.Lines) {
	s.waiting = append(s.waiting, l)
	slices.SortStableFunc(s.waiting, func(a, b guest.Lines) int { return cmp.Compare(a.First, b.First) })
}

// take gives what can be given now; in the end, whatever there is.
func (s *stream) take(now time.Time, end bool) []told {
	var out []told
	for len(s.waiting) > 0 {
		l := s.waiting[0]
		last := l.First + len(l.Text) - 1
		if last > s.told && l.Since > s.told+1 && !end {
			if s.gap.IsZero() {
				s.gap = now
			}
			if now.Sub(s.gap) < gapPatience {
				return out
			}
		}
		s.waiting = s.waiting[1:]
		s.gap = time.Time{}
		if last <= s.told {
			continue
		}
		if missing := l.First - s.told - 1; missing > 0 {
			out = append(out, told{missing: missing})
			s.told = l.First - 1
		}
		for _, text := range l.Text[s.told+1-l.First:] {
			out = append(out, told{text: text})
		}
		s.told = last
	}
	return out
}
