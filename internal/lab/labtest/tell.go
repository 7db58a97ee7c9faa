// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package labtest

import "github.com/amibakery/packer-plugin-bakery/internal/guest"

// tell does what program/log_stream.py does while the steps run: it sends the new lines, by the console or by S3.
func (b *bake) tell() {
	switch b.given.live {
	case guest.ByConsole:
		l := guest.Lines{Source: guest.FromSteps, Since: b.told + 1, First: b.told + 1, Text: b.log[b.told:]}
		b.seal(l)
		b.told = len(b.log)
	case guest.ByStore:
		_ = b.upload() // it is tried again with the next step
	}
}

// tellTail tells the last lines of the step that failed, encrypted where there is a key.
func (b *bake) tellTail(tail []string) {
	if b.given.key == nil {
		for _, line := range tail {
			b.report("tail %s", line)
		}
		return
	}
	for range 2 { // the kernel may print into it
		b.seal(guest.Lines{Source: guest.FromEnd, Since: 1, First: 1, Text: tail})
	}
}

func (b *bake) seal(l guest.Lines) {
	for _, piece := range guest.FormatLines(b.given.bakeID, *b.given.key, l) {
		b.print(piece)
	}
}
