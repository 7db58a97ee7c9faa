// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package deflate

import (
	"math/bits"
	"slices"
)

const (
	maxCodeBits       = 15 // RFC 1951, 3.2.7
	maxHeaderCodeBits = 7
)

// code is a canonical Huffman code, its bits already in the order they are sent.
type code struct {
	code   [literalSymbols + 2]uint16
	length [literalSymbols + 2]uint8
}

// codes are the two codes of a block.
type codes struct{ literals, distances code }

// build makes the code for these counts, with no length over limit. Symbols that do not occur get length 0. It
// always has at least two symbols, since zlib takes no incomplete code for the header.
func (c *code) build(counts []uint32, limit int) {
	leaves := make([]uint64, 0, literalSymbols)
	for symbol, count := range counts {
		if count > 0 {
			leaves = append(leaves, uint64(count)<<16|uint64(symbol))
		}
	}
	for symbol := 0; len(leaves) < 2; symbol++ {
		if counts[symbol] == 0 {
			leaves = append(leaves, 1<<16|uint64(symbol))
		}
	}
	slices.Sort(leaves)

	perLength := lengthsOf(leaves)
	limitLengths(&perLength, limit)
	// The rarest symbols get the longest codes.
	for length, left := limit, perLength[limit]; len(leaves) > 0; {
		for left == 0 {
			length--
			left = perLength[length]
		}
		c.length[leaves[0]&0xffff] = uint8(length)
		leaves = leaves[1:]
		left--
	}
	c.assign(perLength[:limit+1])
}

// lengthsOf counts the code lengths of an optimal code for leaves, which are sorted by count. The tree is built
// from two queues, the leaves and the inner nodes, since inner nodes come out sorted.
func lengthsOf(leaves []uint64) (perLength [64]int) {
	n := len(leaves)
	weights := make([]uint64, 0, 2*n-1)
	for _, leaf := range leaves {
		weights = append(weights, leaf>>16)
	}
	parent := make([]int, 2*n-1)
	leaf, inner := 0, n
	take := func() int {
		if leaf < n && (inner >= len(weights) || weights[leaf] <= weights[inner]) {
			leaf++
			return leaf - 1
		}
		inner++
		return inner - 1
	}
	for len(weights) < 2*n-1 {
		a, b := take(), take()
		parent[a], parent[b] = len(weights), len(weights)
		weights = append(weights, weights[a]+weights[b])
	}
	depth := make([]int, 2*n-1)
	for i := 2*n - 3; i >= 0; i-- {
		depth[i] = depth[parent[i]] + 1
		if i < n {
			perLength[depth[i]]++
		}
	}
	return perLength
}

// limitLengths shortens what is longer than limit and lengthens others until the code is complete again.
func limitLengths(perLength *[64]int, limit int) {
	for length := limit + 1; length < len(perLength); length++ {
		perLength[limit] += perLength[length]
		perLength[length] = 0
	}
	used := 0 // of 1<<limit, which a complete code uses up
	for length := 1; length <= limit; length++ {
		used += perLength[length] << (limit - length)
	}
	for ; used > 1<<limit; used-- {
		perLength[limit]--
		for length := limit - 1; ; length-- {
			if perLength[length] > 0 {
				perLength[length]--
				perLength[length+1] += 2
				break
			}
		}
	}
}

// assign gives each symbol its code, from the lengths alone (RFC 1951, 3.2.2).
func (c *code) assign(perLength []int) {
	var following [maxCodeBits + 2]uint16
	next := 0
	for length := 1; length < len(perLength); length++ {
		following[length] = uint16(next)
		next = (next + perLength[length]) << 1
	}
	for symbol, length := range c.length {
		if length > 0 {
			c.code[symbol] = bits.Reverse16(following[length]) >> (16 - length)
			following[length]++
		}
	}
}

// fixed is the code of RFC 1951, 3.2.6.
var fixed = func() (f codes) {
	var literals, distances [maxCodeBits + 1]int
	for symbol := range f.literals.length {
		length := 8
		switch {
		case symbol >= 144 && symbol < 256:
			length = 9
		case symbol >= 256 && symbol < 280:
			length = 7
		}
		f.literals.length[symbol] = uint8(length)
		literals[length]++
	}
	for symbol := range 32 {
		f.distances.length[symbol] = 5
		distances[5]++
	}
	f.literals.assign(literals[:])
	f.distances.assign(distances[:])
	return f
}()
