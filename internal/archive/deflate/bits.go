// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package deflate

import (
	"encoding/binary"
	"slices"
)

const maxStored = 65535 // bytes of one stored block

// bitWriter packs bits, the lowest first, into bytes.
type bitWriter struct {
	buf     []byte
	pending uint64
	n       uint // bits of pending, at most 7 between calls
}

// reserve makes room for n bits, so that add need not look.
func (w *bitWriter) reserve(n int) {
	w.buf = slices.Grow(w.buf, n/8+16)
}

// add appends the lowest n bits of v, 56 at most; the others must be zero.
func (w *bitWriter) add(v uint64, n uint) {
	w.pending |= v << (w.n & 63)
	w.n += n
	end := len(w.buf)
	if cap(w.buf)-end < 8 {
		w.reserve(64)
	}
	binary.LittleEndian.PutUint64(w.buf[end:end+8:cap(w.buf)], w.pending)
	w.buf = w.buf[:end+int(w.n>>3)]
	w.pending >>= w.n &^ 7 & 63
	w.n &= 7
}

// align fills the last byte with zeros.
func (w *bitWriter) align() {
	if w.n > 0 {
		w.add(0, 8-w.n)
	}
}

// sync ends at a byte, by an empty stored block.
func (w *bitWriter) sync() {
	w.add(0, 3)
	w.align()
	w.buf = append(w.buf, 0, 0, 0xff, 0xff)
}

// storedBits is the size of data when it is not compressed, with the header and up to seven bits to reach a byte.
func storedBits(size int) int {
	blocks := (size + maxStored - 1) / maxStored
	return 8*size + blocks*(3+7+32)
}

func (w *bitWriter) stored(data []byte) {
	for len(data) > 0 {
		n := min(len(data), maxStored)
		w.add(0, 3)
		w.align()
		w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(n))
		w.buf = binary.LittleEndian.AppendUint16(w.buf, ^uint16(n))
		w.buf = append(w.buf, data[:n]...)
		data = data[n:]
	}
}
