// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package frame is the protocol in which commands run in machines: frames, each of a kind, a length of four bytes (big
// endian), and so many bytes. It may not know commands or machines.
package frame

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// Kinds of frames.
const (
	In   = 'i' // input of a command; empty: the input's end
	Out  = 'o'
	Err  = 'e'
	Exit = 'x' // the exit status in decimal; the last frame
	Fail = 'f' // why the command could not be run; the last frame
)

// maxSize of a frame; Stream splits what is larger.
const maxSize = 1 << 20

// Writer writes frames. Safe for use by several goroutines.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a Writer to w, which gets each frame in one call.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write writes a frame.
func (w *Writer) Write(kind byte, p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	header := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(p))) //nolint:gosec // at most maxSize
	_, err := w.w.Write(append(header, p...))
	return err
}

// Stream returns a writer whose bytes become frames of a kind.
func (w *Writer) Stream(kind byte) io.Writer { return stream{w, kind} }

type stream struct {
	w    *Writer
	kind byte
}

func (s stream) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		n := min(len(p), maxSize)
		if err := s.w.Write(s.kind, p[:n]); err != nil {
			return written, err
		}
		p, written = p[n:], written+n
	}
	return written, nil
}

// Read reads one frame, and nothing after it.
func Read(r io.Reader) (kind byte, p []byte, err error) {
	var header [5]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(header[1:])
	if size > maxSize {
		return 0, nil, fmt.Errorf("read a frame of %d bytes: more than %d", size, maxSize)
	}
	p = make([]byte, size)
	_, err = io.ReadFull(r, p)
	return header[0], p, err
}

// CopyOutput copies frames of the kinds Out and Err to the writers, which may be nil, until there is a frame of another
// kind, which it returns.
func CopyOutput(r io.Reader, stdout, stderr io.Writer) (kind byte, p []byte, err error) {
	for {
		kind, p, err = Read(r)
		switch {
		case err != nil:
			return 0, nil, fmt.Errorf("read the command's output: %w", err)
		case kind == Out && stdout != nil:
			_, err = stdout.Write(p)
		case kind == Err && stderr != nil:
			_, err = stderr.Write(p)
		case kind != Out && kind != Err:
			return kind, p, nil
		}
		if err != nil {
			return 0, nil, err
		}
	}
}
