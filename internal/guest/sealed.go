// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// nonce makes the encryption of every chunk different, and identifies the pieces of one chunk.
type nonce [8]byte

// mask encrypts or decrypts data with HMAC-SHA256 in counter mode, which the standard library of every Python has.
func (k Key) mask(n nonce, data []byte) {
	for i := 0; i < len(data); i += sha256.Size {
		mac := hmac.New(sha256.New, k[:])
		mac.Write(n[:])
		_ = binary.Write(mac, binary.BigEndian, uint32(i/sha256.Size))
		for j, b := range mac.Sum(nil)[:min(sha256.Size, len(data)-i)] {
			data[i+j] ^= b
		}
	}
}

// pieceMark begins a piece of a chunk, anywhere on a console line.
const pieceMark = "@bakery-log "

// longestPiece is the length of the longest text that pieceLine matches.
const longestPiece = len(pieceMark) + 10 + 1 + 32 + 1 + 16 + 1 + 3 + 1 + 3 + 1 + 240 + 1

// pieceLine matches one piece of a chunk.
var pieceLine = regexp.MustCompile(`^` + pieceMark + `(\d{1,10}) ` +
	`(([0-9a-z]{1,32}) ([0-9a-f]{16}) (\d{1,3}) (\d{1,3}) ([A-Za-z0-9+/=]{1,240}))\.`)

// Limits of the memory that text on a console can make this process use. Compressed text can become a thousand times
// as long, and who has the user data has the key.
const (
	chunkLimit    = 1 << 15 // bytes of text in a chunk; log_stream.py sends 9000
	readLimit     = 1 << 19 // bytes of memory for lines, after which Read leaves the other chunks to the next one
	maxPieces     = 1 << 8  // of a chunk: chunkLimit that cannot be compressed, in base64
	maxIncomplete = 64      // chunks
)

// Unsealer decrypts the lines that a machine has printed on its console. It remembers incomplete chunks: the console
// shows only its newest text, and the machine sends each piece again, because the kernel may have printed into it.
type Unsealer struct {
	id   string
	key  Key
	part map[nonce]*chunk
	done map[nonce]bool
	age  int
}

type chunk struct {
	pieces []string
	age    int
}

// NewUnsealer returns an Unsealer for the lines of one bake.
func NewUnsealer(bakeID string, key Key) *Unsealer {
	return &Unsealer{id: bakeID, key: key, part: map[nonce]*chunk{}, done: map[nonce]bool{}}
}

// Read returns the lines that the newest text of a console completes, each once, in no order.
func (u *Unsealer) Read(console []byte) []Lines {
	var all []Lines
	seen := map[nonce]bool{}
	left := readLimit
	for m := range piecesOf(stripEscapes(console)) {
		n, ok := u.addPiece(m)
		seen[n] = true
		if !ok || left <= 0 {
			continue
		}
		if l, size, ok := u.decode(n); ok {
			left -= size
			all = append(all, l)
		}
	}
	// A chunk that the console does not show any more is not sent again.
	maps.DeleteFunc(u.done, func(n nonce, _ bool) bool { return !seen[n] })
	return all
}

// piecesOf yields the submatches of pieceLine in a text. Each match is tried at a mark, in a text of bounded length:
// the expression has too many states to be run over everything that a console shows.
func piecesOf(text []byte) iter.Seq[[][]byte] {
	return func(yield func([][]byte) bool) {
		for {
			at := bytes.Index(text, []byte(pieceMark))
			if at < 0 {
				return
			}
			text = text[at:]
			m := pieceLine.FindSubmatch(text[:min(len(text), longestPiece)])
			if m != nil && !yield(m) {
				return
			}
			text = text[len(pieceMark):]
		}
	}
}

// addPiece stores a piece, and reports whether its chunk is now complete.
func (u *Unsealer) addPiece(m [][]byte) (n nonce, complete bool) {
	if string(m[3]) != u.id || strconv.FormatUint(uint64(crc32.ChecksumIEEE(m[2])), 10) != string(m[1]) {
		return n, false
	}
	_, _ = hex.Decode(n[:], m[4])
	i, _ := strconv.Atoi(string(m[5])) // at most three digits
	of, _ := strconv.Atoi(string(m[6]))
	if u.done[n] || i >= of || of > maxPieces {
		return n, false
	}
	c := u.part[n]
	if c == nil {
		u.age++
		c = &chunk{pieces: make([]string, of), age: u.age}
		u.part[n] = c
		u.dropOldest()
	}
	if len(c.pieces) == of {
		c.pieces[i] = string(m[7])
	}
	return n, !slices.Contains(c.pieces, "")
}

// dropOldest removes the oldest chunks when there are too many.
func (u *Unsealer) dropOldest() {
	if len(u.part) <= maxIncomplete {
		return
	}
	maps.DeleteFunc(u.part, func(_ nonce, c *chunk) bool { return c.age <= u.age-maxIncomplete })
}

// decode decrypts and unpacks a complete chunk. It also returns how much memory its lines take.
func (u *Unsealer) decode(n nonce) (lines Lines, size int, ok bool) {
	code := strings.Join(u.part[n].pieces, "")
	delete(u.part, n)
	u.done[n] = true
	data, err := base64.StdEncoding.DecodeString(code)
	if err != nil {
		return Lines{}, 0, false
	}
	u.key.mask(n, data)
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return Lines{}, 0, false
	}
	text, err := io.ReadAll(io.LimitReader(r, chunkLimit+1))
	if err != nil || len(text) > chunkLimit { // zlib has a checksum, so a wrong key is an error too
		return Lines{}, 0, false
	}
	lines, ok = parseLines(text, u.id)
	return lines, lines.Memory(), ok
}

// FormatLines returns lines as the guest program prints them on the console, each piece on a console line of its own,
// for programs that simulate a machine.
func FormatLines(bakeID string, key Key, l Lines) []string {
	var n nonce
	_, _ = rand.Read(n[:])
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, _ = io.WriteString(w, l.header(bakeID)) // a bytes.Buffer returns no error
	for _, text := range l.Text {
		_, _ = io.WriteString(w, text+"\n")
	}
	_ = w.Close()
	key.mask(n, packed.Bytes())
	code := base64.StdEncoding.EncodeToString(packed.Bytes())
	const size = 180
	pieces := slices.Collect(slices.Chunk([]byte(code), size))
	printed := make([]string, len(pieces))
	for i, piece := range pieces {
		body := fmt.Sprintf("%s %x %d %d %s", bakeID, n, i, len(pieces), piece)
		printed[i] = fmt.Sprintf("\r\n@bakery-log %d %s.\r\n", crc32.ChecksumIEEE([]byte(body)), body)
	}
	return printed
}
