// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package archive

import (
	"io"
	"runtime"

	"github.com/klauspost/pgzip"
)

const (
	// level is the highest that is faster than pigz -6 with the same number of processors. The size of the result is
	// within half a percent of pigz's (go run ./internal/bench compile).
	level = 8
	// blockSize is how much one processor compresses at a time. The result depends on it, so it must not depend on the
	// machine. Smaller blocks make a larger file, larger ones need more memory.
	blockSize = 1 << 20
	// maxBlocks bounds memory, about 4 MiB for each block, on machines with many processors.
	maxBlocks = 8
)

// newGzip returns a writer that compresses on all processors. The result does not depend on their number. The gzip
// header contains no file name, time or system.
func newGzip(w io.Writer) (*pgzip.Writer, error) {
	z, err := pgzip.NewWriterLevel(w, level)
	if err != nil {
		return nil, err
	}
	return z, z.SetConcurrency(blockSize, min(runtime.GOMAXPROCS(0), maxBlocks))
}
