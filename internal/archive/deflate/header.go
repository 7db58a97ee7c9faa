// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package deflate

// The symbols of the code that describes the codes of a block: lengths 0 to 15, and these.
const (
	repeatLength    = 16 // the length before, 3 to 6 times; 2 extra bits
	repeatZero      = 17 // 3 to 10 times; 3 extra bits
	repeatZeroLong  = 18 // 11 to 138 times; 7 extra bits
	headerSymbols   = 19
	minLiteralCodes = 257
)

// headerOrder is the order the lengths of that code are sent in: those that are rarely needed last.
var headerOrder = [headerSymbols]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

var headerExtra = [headerSymbols]uint8{repeatLength: 2, repeatZero: 3, repeatZeroLong: 7}

// item is one symbol of the description with its extra bits.
type item struct{ symbol, extra uint8 }

// header describes the two codes of a block (RFC 1951, 3.2.7).
type header struct {
	literals, distances int // how many lengths of each are sent
	items               []item
	counts              [headerSymbols]uint32
	code                code
	lengths             int // how many lengths of code are sent
}

func describe(c *codes) *header {
	h := &header{
		literals:  max(minLiteralCodes, used(c.literals.length[:literalSymbols])),
		distances: max(1, used(c.distances.length[:distanceSymbols])),
	}
	lengths := make([]uint8, 0, literalSymbols+distanceSymbols)
	lengths = append(lengths, c.literals.length[:h.literals]...)
	lengths = append(lengths, c.distances.length[:h.distances]...)
	for len(lengths) > 0 {
		lengths = lengths[h.run(lengths):]
	}
	h.code.build(h.counts[:], maxHeaderCodeBits)
	for h.lengths = headerSymbols; h.lengths > 4 && h.code.length[headerOrder[h.lengths-1]] == 0; {
		h.lengths--
	}
	return h
}

// used counts the lengths up to the last one that is not zero.
func used(lengths []uint8) int {
	n := len(lengths)
	for n > 0 && lengths[n-1] == 0 {
		n--
	}
	return n
}

// run describes the lengths that are the same as the first one, and says how many it took.
func (h *header) run(lengths []uint8) int {
	n := 1
	for n < len(lengths) && lengths[n] == lengths[0] {
		n++
	}
	switch {
	case lengths[0] == 0 && n >= 11:
		n = min(n, 138)
		h.add(repeatZeroLong, uint8(n-11))
	case lengths[0] == 0 && n >= 3:
		h.add(repeatZero, uint8(n-3))
	case n >= 4:
		n = min(n, 7)
		h.add(lengths[0], 0)
		h.add(repeatLength, uint8(n-1-3))
	default:
		n = 1
		h.add(lengths[0], 0)
	}
	return n
}

func (h *header) add(symbol, extra uint8) {
	h.items = append(h.items, item{symbol, extra})
	h.counts[symbol]++
}

func (h *header) bits() int {
	n := 5 + 5 + 4 + 3*h.lengths
	for symbol, count := range h.counts {
		n += int(count) * int(h.code.length[symbol]+headerExtra[symbol])
	}
	return n
}

func (h *header) write(out *bitWriter) {
	out.add(uint64(h.literals-minLiteralCodes), 5)
	out.add(uint64(h.distances-1), 5)
	out.add(uint64(h.lengths-4), 4)
	for _, symbol := range headerOrder[:h.lengths] {
		out.add(uint64(h.code.length[symbol]), 3)
	}
	for _, i := range h.items {
		out.add(uint64(h.code.code[i.symbol]), uint(h.code.length[i.symbol]))
		out.add(uint64(i.extra), uint(headerExtra[i.symbol]))
	}
}
