// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package archive

import (
	"io"
	"runtime"

	"github.com/klauspost/pgzip"
)

const (
	// level is the highest that is faster than pigz -6 with the same number of processors; what comes out is within half
	// a percent of its size (go run ./internal/bench compile).
	level = 8
	// blockSize is what one processor compresses at a time. It decides about the bytes that come out, so it may not
	// depend on the machine. Smaller blocks cost size, larger ones memory.
	blockSize = 1 << 20
	// maxBlocks bounds memory, at about 4 MiB each, on machines with many processors.
	maxBlocks = 8
)

// newGzip compresses on every processor; what comes out does not depend on how many there are. Its header names no file,
// no time and no system.
func newGzip(w io.Writer) (*pgzip.Writer, error) {
	z, err := pgzip.NewWriterLevel(w, level)
	if err != nil {
		return nil, err
	}
	return z, z.SetConcurrency(blockSize, min(runtime.GOMAXPROCS(0), maxBlocks))
}
