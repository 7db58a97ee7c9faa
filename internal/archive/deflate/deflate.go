// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package deflate compresses to the format of RFC 1951, piece by piece, so that several pieces can be compressed at
// once and put together.
//
// It is here because a bundle is sent to every machine that is baked from it: the output may not be larger than
// what gzip -6 makes, and the libraries that are faster than that pay for it with size, 3 to 5 % on a tree of
// binaries, since they find no match shorter than four bytes and start a new code only at fixed distances. This
// encoder follows libdeflate instead: hash chains with a table of their own for matches of three bytes, lazy
// parsing, and blocks that end where the statistics of the data change.
//
// The output depends on the input alone. The package knows nothing but bytes.
package deflate

import "encoding/binary"

const (
	// WindowSize is how far back a match may reach, and so how much of what came before is of use to [Encoder.Append].
	WindowSize = 1 << 15
	windowMask = WindowSize - 1

	minMatch = 3
	maxMatch = 258

	// A match of three bytes from further away than this takes more bits than its three literals, as a rule. zlib
	// has the same number (TOO_FAR).
	farForThree = 4096
)

// How hard to look for matches: measured on sources and binaries to stay below the size of zlib's level 6.
const (
	searchDepth = 40  // candidates looked at for each position
	niceLength  = 128 // a match this long is taken without looking for a better one
	// After this many literals in a row the data is taken for incompressible, and looked at only every now and then.
	missesPerSkip = 512
	maxSkip       = 16
)

const (
	hash3Bits = 15
	hash4Bits = 16
)

// Encoder holds the tables of the search, about a megabyte, for use again and again. The zero value is ready. It is
// not safe for use by several goroutines at once.
type Encoder struct {
	head3 [1 << hash3Bits]int32 // the last position with these three bytes; 0 is none
	head4 [1 << hash4Bits]int32 // the last position with these four bytes
	next  [WindowSize]int32     // the one before a position with the same four bytes
	block block
	out   bitWriter
}

// Append compresses data[start:] and appends it to dst. What is before start, at most [WindowSize] bytes, has been
// compressed earlier and serves as dictionary. The result ends at a byte with no final block: any number of such
// pieces may follow each other, then [Final] ends the stream.
func (e *Encoder) Append(dst, data []byte, start int) []byte {
	e.out = bitWriter{buf: dst}
	clear(e.head3[:])
	clear(e.head4[:])
	e.insert(data, max(0, start-WindowSize), start)
	for pos := start; pos < len(data); {
		e.block.reset()
		end := e.parse(data, pos)
		e.block.write(&e.out, data[pos:end])
		pos = end
	}
	e.out.sync()
	return e.out.buf
}

// Final is an empty last block, which ends a stream of pieces.
var Final = []byte{0x03, 0x00}

// parse fills the block from data[pos:] and returns where it ends.
func (e *Encoder) parse(data []byte, pos int) int {
	b := &e.block
	begin, misses, end := pos, 0, len(data)
	for pos < end && !b.full(pos-begin) {
		length, distance := e.find(data, pos, minMatch-1, searchDepth)
		known := pos + 1 // everything before is in the tables
		if length < minMatch {
			stop := min(end, pos+1+min(misses/missesPerSkip, maxSkip))
			misses += stop - pos
			for ; pos < stop; pos++ {
				b.literal(data[pos])
			}
			continue
		}
		misses = 0
		// Lazy: when the next position has a better match, this one becomes a literal.
		for length < niceLength && pos+1 < end && b.count < maxTokens {
			nextLength, nextDistance := e.find(data, pos+1, length-1, searchDepth/2)
			known = pos + 2
			if nextLength < length || !better(nextLength, nextDistance, length, distance) {
				break
			}
			b.literal(data[pos])
			pos++
			length, distance = nextLength, nextDistance
		}
		b.match(length, distance)
		e.insert(data, known, pos+length)
		pos += length
	}
	return pos
}

// better weighs a match one byte later against the one at hand: four bits for a byte more, one for each bit of
// distance, and two for the literal in between.
func better(nextLength, nextDistance, length, distance int) bool {
	return 4*(nextLength-length)+bitLength(distance)-bitLength(nextDistance) > 2
}

// insert enters the positions of data[from:to] into the tables.
func (e *Encoder) insert(data []byte, from, to int) {
	to = min(to, len(data)-3)
	for pos := from; pos < to; pos++ {
		v := load32(data, pos)
		h4 := hash4(v)
		e.head3[hash3(v)] = int32(pos)
		e.next[pos&windowMask] = e.head4[h4]
		e.head4[h4] = int32(pos)
	}
}

// find enters pos into the tables and returns the longest match for it that is longer than best.
func (e *Encoder) find(data []byte, pos, best, depth int) (length, distance int) {
	longest := min(maxMatch, len(data)-pos)
	if longest < 4 || best >= longest {
		return 0, 0
	}
	v := load32(data, pos)
	h3, h4 := hash3(v), hash4(v)
	near, candidate := int(e.head3[h3]), int(e.head4[h4])
	e.head3[h3] = int32(pos)
	e.head4[h4] = int32(pos)
	e.next[pos&windowMask] = int32(candidate)

	if best < minMatch && near > max(0, pos-farForThree) && (load32(data, near)^v)&0xffffff == 0 {
		best, length, distance = minMatch, minMatch, pos-near
	}
	best = max(best, minMatch)
	limit := max(0, pos-WindowSize)
	tail := load32(data, pos+best-3)
	for ; candidate > limit && depth > 0; depth-- {
		if load32(data, candidate+best-3) == tail && load32(data, candidate) == v {
			n := common(data, candidate, pos, longest)
			if n > best {
				best, length, distance = n, n, pos-candidate
				if n >= niceLength || n == longest {
					break
				}
				tail = load32(data, pos+best-3)
			}
		}
		candidate = int(e.next[candidate&windowMask])
	}
	return length, distance
}

// common counts the bytes that are the same at a and b, up to limit.
func common(data []byte, a, b, limit int) int {
	x, y := data[a:a+limit], data[b:b+limit]
	n := 0
	for ; n+8 <= len(x) && n+8 <= len(y); n += 8 {
		if diff := binary.LittleEndian.Uint64(x[n:]) ^ binary.LittleEndian.Uint64(y[n:]); diff != 0 {
			return n + trailingBytes(diff)
		}
	}
	for ; n < len(x) && n < len(y) && x[n] == y[n]; n++ {
	}
	return n
}

func load32(data []byte, pos int) uint32 { return binary.LittleEndian.Uint32(data[pos:]) }

// The multiplier is the golden ratio's, as in the Linux kernel's hash_32.
func hash3(v uint32) uint32 { return (v << 8) * 0x9e3779b1 >> (32 - hash3Bits) }
func hash4(v uint32) uint32 { return v * 0x9e3779b1 >> (32 - hash4Bits) }
