// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package deflate

import "math/bits"

const (
	endOfBlock      = 256
	literalSymbols  = 286
	distanceSymbols = 30

	minBlock = 5000    // bytes; shorter ones do not pay for their header
	maxBlock = 300_000 // bytes; statistics drift over longer ones without showing in observations
	// maxTokens bounds memory, and also what a stored block may hold when all of them are literals.
	maxTokens = 1 << 16
)

// block collects the tokens of one deflate block and how often each symbol occurs.
type block struct {
	tokens    [maxTokens + maxSkip + 2]uint32 // a literal, or matchToken | length-3 << 16 | distance-1; one round of parse may overshoot
	count     int
	literals  [literalSymbols]uint32
	distances [distanceSymbols]uint32
	seen      observations
}

const matchToken = 1 << 31

func (b *block) reset() {
	b.count = 0
	clear(b.literals[:])
	clear(b.distances[:])
	b.literals[endOfBlock] = 1
	b.seen = observations{}
}

func (b *block) literal(c byte) {
	b.tokens[b.count] = uint32(c)
	b.count++
	b.literals[c]++
	b.seen.recent[c>>5&6|c&1]++
	b.seen.recentTotal++
}

func (b *block) match(length, distance int) {
	b.tokens[b.count] = matchToken | uint32(length-minMatch)<<16 | uint32(distance-1)
	b.count++
	b.literals[lengthSymbol[length-minMatch]]++
	b.distances[distanceSymbol(uint32(distance-1))]++
	kind := literalKinds
	if length >= longMatch {
		kind++
	}
	b.seen.recent[kind]++
	b.seen.recentTotal++
}

// full tells whether to end the block after size bytes.
func (b *block) full(size int) bool {
	if size >= maxBlock || b.count >= maxTokens {
		return true
	}
	return b.seen.recentTotal >= observationsPerCheck && size >= minBlock && b.seen.changed(size)
}

const (
	literalKinds         = 8 // by the two highest bits and the lowest one, which tells text, code and tables apart
	matchKinds           = 2 // short and long
	longMatch            = 9 // bytes
	observationsPerCheck = 512
)

// observations notice when the data becomes of another kind, by counting kinds of tokens instead of tokens. The
// method and its numbers are libdeflate's (lib/deflate_compress.c, do_end_block_check).
type observations struct {
	old, recent           [literalKinds + matchKinds]uint32
	oldTotal, recentTotal uint32
}

// changed compares the recent observations of a block of size bytes with those before, then joins the two.
func (o *observations) changed(size int) bool {
	if o.oldTotal > 0 {
		var delta uint64
		for i := range o.recent {
			expected := int64(o.old[i]) * int64(o.recentTotal)
			actual := int64(o.recent[i]) * int64(o.oldTotal)
			delta += uint64(max(expected-actual, actual-expected))
		}
		cutoff := uint64(o.recentTotal) * 200 / 512 * uint64(o.oldTotal)
		if total := uint64(o.oldTotal + o.recentTotal); size < 10_000 && total < 8192 {
			cutoff += cutoff * (8192 - total) / 8192
		}
		if delta+uint64(size/4096)*uint64(o.oldTotal) >= cutoff {
			return true
		}
	}
	for i, n := range o.recent {
		o.old[i] += n
	}
	o.oldTotal += o.recentTotal
	clear(o.recent[:])
	o.recentTotal = 0
	return false
}

// write writes the block in the smallest of the three ways; data is what it stands for.
func (b *block) write(out *bitWriter, data []byte) {
	var dynamic codes
	dynamic.literals.build(b.literals[:], maxCodeBits)
	dynamic.distances.build(b.distances[:], maxCodeBits)
	header := describe(&dynamic)

	asDynamic := 3 + header.bits() + b.bits(&dynamic)
	asFixed := 3 + b.bits(&fixed)
	asStored := storedBits(len(data))
	switch {
	case asStored <= min(asDynamic, asFixed):
		out.stored(data)
	case asFixed <= asDynamic:
		out.reserve(asFixed)
		out.add(1<<1, 3)
		b.writeTokens(out, &fixed)
	default:
		out.reserve(asDynamic)
		out.add(2<<1, 3)
		header.write(out)
		b.writeTokens(out, &dynamic)
	}
}

// bits is the size of the tokens in these codes.
func (b *block) bits(c *codes) int {
	n := 0
	for symbol, count := range b.literals {
		n += int(count) * int(c.literals.length[symbol])
		if symbol > endOfBlock {
			n += int(count) * int(lengthExtra[symbol-endOfBlock-1])
		}
	}
	for symbol, count := range b.distances {
		n += int(count) * (int(c.distances.length[symbol]) + int(distanceExtra[symbol]))
	}
	return n
}

func (b *block) writeTokens(out *bitWriter, c *codes) {
	for _, token := range b.tokens[:b.count] {
		if token&matchToken == 0 {
			out.add(uint64(c.literals.code[token]), uint(c.literals.length[token]))
			continue
		}
		// Code, extra bits, code, extra bits: 15 + 5 + 15 + 13 = 48 at most, in one go.
		length, distance := token>>16&0xff, token&0x7fff
		symbol := lengthSymbol[length]
		acc := uint64(c.literals.code[symbol])
		n := uint(c.literals.length[symbol])
		extra := symbol - endOfBlock - 1
		acc |= uint64(length-uint32(lengthBase[extra])) << n
		n += uint(lengthExtra[extra])
		ds := distanceSymbol(distance)
		acc |= uint64(c.distances.code[ds]) << n
		n += uint(c.distances.length[ds])
		acc |= uint64(distance-distanceBase[ds]) << n
		out.add(acc, n+uint(distanceExtra[ds]))
	}
	out.add(uint64(c.literals.code[endOfBlock]), uint(c.literals.length[endOfBlock]))
}

// The symbols of RFC 1951, 3.2.5, for lengths and distances that are counted from 0.
var (
	lengthSymbol  [maxMatch - minMatch + 1]uint16
	lengthBase    [29]uint16
	lengthExtra   [29]uint8
	distanceBase  [distanceSymbols]uint32
	distanceExtra [distanceSymbols]uint8
	nearSymbol    [256]uint8 // of distances below 256
	farSymbol     [256]uint8 // of the others, by their upper bits
)

func init() {
	length := 0
	for i := range lengthBase {
		lengthExtra[i] = uint8(max(0, i/4-1))
		if i == 28 { // 258 has a symbol of its own
			lengthExtra[i], length = 0, maxMatch-minMatch
		}
		lengthBase[i] = uint16(length)
		for range 1 << lengthExtra[i] {
			lengthSymbol[min(length, maxMatch-minMatch)] = uint16(endOfBlock + 1 + i)
			length++
		}
	}
	distance := uint32(0)
	for i := range distanceBase {
		distanceExtra[i] = uint8(max(0, i/2-1))
		distanceBase[i] = distance
		for range 1 << distanceExtra[i] {
			if distance < 256 {
				nearSymbol[distance] = uint8(i)
			}
			farSymbol[distance>>7] = uint8(i)
			distance++
		}
	}
}

func distanceSymbol(distance uint32) uint8 {
	if distance < 256 {
		return nearSymbol[distance]
	}
	return farSymbol[distance>>7&0xff]
}

func bitLength(v int) int { return bits.Len32(uint32(v)) }

func trailingBytes(v uint64) int { return bits.TrailingZeros64(v) >> 3 }
