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
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Key is what the lines on a console are encrypted with. It is in the user data.
type Key [16]byte

// NewKey returns a key that no other bake has.
func NewKey() Key {
	var k Key
	_, _ = rand.Read(k[:]) // never fails: crypto/rand aborts the program instead
	return k
}

// nonce makes the encryption of every chunk another one, and tells the pieces of one chunk from those of others.
type nonce [8]byte

// mask encrypts and decrypts: with HMAC-SHA256 in counter mode, because it is in the library of every Python.
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

// sealedLine is one piece of a chunk, wherever on a console line it stands.
var sealedLine = regexp.MustCompile(`@bakery-log (\d{1,10}) (([0-9a-z]{1,32}) ([0-9a-f]{16}) (\d{1,3}) (\d{1,3}) ([A-Za-z0-9+/=]{1,240}))\.`)

// Limits of what a console may make this process keep.
const (
	chunkLimit  = 1 << 18 // bytes of text in a chunk; tell.py sends less than 24 KB
	chunksAtOne = 64      // that are incomplete
)

// Unsealer puts together the lines that a machine has printed on its console. It keeps what was incomplete: the console
// shows only its newest text, and a piece that the kernel has printed into comes again.
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

// NewUnsealer reads the lines of one bake.
func NewUnsealer(bakeID string, key Key) *Unsealer {
	return &Unsealer{id: bakeID, key: key, part: map[nonce]*chunk{}, done: map[nonce]bool{}}
}

// Read returns the lines that are complete with a console's newest text, each once, in no order.
func (u *Unsealer) Read(console []byte) []Lines {
	var all []Lines
	seen := map[nonce]bool{}
	for _, m := range sealedLine.FindAllSubmatch(escapes.ReplaceAll(console, nil), -1) {
		n, ok := u.take(m)
		seen[n] = true
		if !ok {
			continue
		}
		if l, ok := u.open(n); ok {
			all = append(all, l)
		}
	}
	// What the console does not show any more does not come again.
	maps.DeleteFunc(u.done, func(n nonce, _ bool) bool { return !seen[n] })
	return all
}

// take notes a piece, and tells whether its chunk is complete with it.
func (u *Unsealer) take(m [][]byte) (n nonce, complete bool) {
	if string(m[3]) != u.id || strconv.FormatUint(uint64(crc32.ChecksumIEEE(m[2])), 10) != string(m[1]) {
		return n, false
	}
	_, _ = hex.Decode(n[:], m[4])
	i, _ := strconv.Atoi(string(m[5])) // at most three digits
	of, _ := strconv.Atoi(string(m[6]))
	if u.done[n] || i >= of {
		return n, false
	}
	c := u.part[n]
	if c == nil {
		u.age++
		c = &chunk{pieces: make([]string, of), age: u.age}
		u.part[n] = c
		u.forget()
	}
	if len(c.pieces) == of {
		c.pieces[i] = string(m[7])
	}
	return n, !slices.Contains(c.pieces, "")
}

// forget leaves out the oldest of too many chunks.
func (u *Unsealer) forget() {
	if len(u.part) <= chunksAtOne {
		return
	}
	maps.DeleteFunc(u.part, func(_ nonce, c *chunk) bool { return c.age <= u.age-chunksAtOne })
}

// open decrypts and unpacks a chunk that is complete.
func (u *Unsealer) open(n nonce) (Lines, bool) {
	code := strings.Join(u.part[n].pieces, "")
	delete(u.part, n)
	u.done[n] = true
	data, err := base64.StdEncoding.DecodeString(code)
	if err != nil {
		return Lines{}, false
	}
	u.key.mask(n, data)
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return Lines{}, false
	}
	text, err := io.ReadAll(io.LimitReader(r, chunkLimit+1))
	if err != nil || len(text) > chunkLimit { // a checksum is part of it: this also is what another key gives
		return Lines{}, false
	}
	return parseLines(text, u.id)
}

// FormatLines are lines as the guest program prints them on the console, each piece from the start of a console line to its
// end, for whoever plays a machine.
func FormatLines(bakeID string, key Key, l Lines) []string {
	var n nonce
	_, _ = rand.Read(n[:])
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, _ = io.WriteString(w, l.header(bakeID)) // a bytes.Buffer takes everything
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
