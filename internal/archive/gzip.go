// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package archive

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	"github.com/amibakery/packer-plugin-bakery/internal/archive/deflate"
)

const (
	// blockSize is what one processor compresses at a time. It decides about the bytes that come out, so it may not
	// depend on the machine. Smaller blocks cost size, larger ones memory.
	blockSize = 1 << 19
	// maxWorkers bounds memory, at about 3 MiB each, on machines with many processors.
	maxWorkers = 8
)

// gzipHeader says: gzip, deflate, no flags, no time, no hint about the level, made on an unknown system (RFC 1952).
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

// gzipWriter compresses blocks at the same time and writes them one after another. What comes out does not depend
// on how many processors there are.
type gzipWriter struct {
	w       io.Writer
	crc     uint32
	size    uint32 // modulo 2^32, as the format has it
	current *job
	pending chan *job     // in the order they are to be written; its capacity is the number of workers
	spare   chan *job     // done with, to be used again
	written chan struct{} // closed when everything pending has been written

	mu  sync.Mutex
	err error // the first one of w
}

// job is one block on its way.
type job struct {
	encoder deflate.Encoder
	data    []byte // the end of the block before, then the block
	start   int    // of the block in data
	out     []byte
	done    chan struct{}
}

func newGzip(w io.Writer) *gzipWriter {
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	z := &gzipWriter{
		w:       w,
		pending: make(chan *job, workers),
		spare:   make(chan *job, workers+2), // one being filled, one being written
		written: make(chan struct{}),
	}
	z.current = z.take()
	go z.writeOut()
	return z
}

// take returns a job that is done with, or a new one.
func (z *gzipWriter) take() *job {
	select {
	case j := <-z.spare:
		return j
	default:
		return &job{data: make([]byte, 0, deflate.WindowSize+blockSize)}
	}
}

func (z *gzipWriter) Write(p []byte) (int, error) {
	z.crc = crc32.Update(z.crc, crc32.IEEETable, p)
	z.size += uint32(len(p))
	for rest := p; len(rest) > 0; {
		j := z.current
		n := min(len(rest), j.start+blockSize-len(j.data))
		j.data = append(j.data, rest[:n]...)
		rest = rest[n:]
		if len(j.data) == j.start+blockSize {
			z.next()
			if err := z.failed(); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

// next sends the current block to be compressed and begins another one, which starts with the end of this one.
func (z *gzipWriter) next() {
	j := z.current
	following := z.take()
	following.data = append(following.data[:0], j.data[max(0, len(j.data)-deflate.WindowSize):]...)
	following.start = len(following.data)
	z.current = following

	j.done = make(chan struct{})
	z.pending <- j
	go func() {
		j.out = j.encoder.Append(j.out[:0], j.data, j.start)
		close(j.done)
	}()
}

// writeOut writes the blocks in their order. After an error it goes on taking them, so that nobody waits.
func (z *gzipWriter) writeOut() {
	defer close(z.written)
	z.write(gzipHeader)
	for j := range z.pending {
		<-j.done
		z.write(j.out)
		z.spare <- j
	}
}

func (z *gzipWriter) write(p []byte) {
	if z.failed() != nil {
		return
	}
	if _, err := z.w.Write(p); err != nil {
		z.mu.Lock()
		z.err = err
		z.mu.Unlock()
	}
}

func (z *gzipWriter) failed() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.err
}

// Close writes what is left and the trailer, and waits until everything has been written. It does not close w.
func (z *gzipWriter) Close() error {
	if len(z.current.data) > z.current.start {
		z.next()
	}
	close(z.pending)
	<-z.written
	end := append([]byte(nil), deflate.Final...)
	end = binary.LittleEndian.AppendUint32(end, z.crc)
	end = binary.LittleEndian.AppendUint32(end, z.size)
	z.write(end)
	return z.failed()
}
