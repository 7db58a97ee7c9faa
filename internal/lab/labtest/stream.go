// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package labtest

import "github.com/amibakery/packer-plugin-bakery/internal/guest"

// streamLines does what the guest program does while the steps run: it prints new lines of the log on the console, or
// uploads the log to S3.
func (b *bake) streamLines() {
	switch b.instructions.live {
	case guest.ByConsole:
		l := guest.Lines{Source: guest.FromSteps, Since: b.streamed + 1, First: b.streamed + 1,
			Text: b.log[b.streamed:]}
		b.printEncrypted(l)
		b.streamed = len(b.log)
	case guest.ByStore:
		_ = b.upload() // the next step tries again
	}
}

// printTail prints the last lines of the step that failed, encrypted when there is a key.
func (b *bake) printTail(tail []string) {
	if b.instructions.key == nil {
		for _, line := range tail {
			b.report("tail %s", line)
		}
		return
	}
	for range 2 { // because the kernel may print into one
		b.printEncrypted(guest.Lines{Source: guest.FromEnd, Since: 1, First: 1, Text: tail})
	}
}

func (b *bake) printEncrypted(l guest.Lines) {
	for _, piece := range guest.FormatLines(b.writer.BakeID, *b.instructions.key, l) {
		b.print(piece)
	}
}
