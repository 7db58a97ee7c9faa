// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package initrd

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// job is what the lab asks of the agent: to run a command, or to connect to a TCP port of the
// machine, in which case the rest of the connection is that connection.
type job struct {
	Argv []string `json:",omitempty"`
	Port int      `json:",omitempty"`
}

// A connection is a row of frames: a kind, a length of four bytes, big endian, and so many bytes.
// The lab begins with frameJob.
const (
	frameJob   = 'j'
	frameIn    = 'i' // input of the command; empty: its end
	frameOut   = 'o'
	frameErr   = 'e'
	frameExit  = 'x' // the exit status in decimal; the last frame
	frameFail  = 'f' // why the job could not be done; the last frame
	frameReady = 'r' // the port is connected: bytes follow, no frames
)

// maxFrame is more than what either end sends at once.
const maxFrame = 1 << 20

// frames writes frames to a connection, from any goroutine.
type frames struct {
	mu sync.Mutex
	w  io.Writer
}

func (f *frames) write(kind byte, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	header := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(p))) //nolint:gosec // a buffer's length
	_, err := f.w.Write(append(header, p...))
	return err
}

// of is a writer of one kind. What it is given is cut into frames.
func (f *frames) of(kind byte) io.Writer { return stream{f, kind} }

type stream struct {
	f    *frames
	kind byte
}

func (s stream) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		n := min(len(p), maxFrame)
		if err := s.f.write(s.kind, p[:n]); err != nil {
			return written, err
		}
		p, written = p[n:], written+n
	}
	return written, nil
}

// readFrame reads one frame, and nothing after it.
func readFrame(r io.Reader) (kind byte, p []byte, err error) {
	var header [5]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(header[1:])
	if size > maxFrame {
		return 0, nil, fmt.Errorf("read a frame of %d bytes: more than %d", size, maxFrame)
	}
	p = make([]byte, size)
	_, err = io.ReadFull(r, p)
	return header[0], p, err
}

// ExitError is a command's exit status that is not 0.
type ExitError int

// Error implements error.
func (e ExitError) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// ExitCode is the status, as that of an *exec.ExitError.
func (e ExitError) ExitCode() int { return int(e) }

// Exec asks the agent at the other end of a connection to run a command as root and returns when it
// has ended. Closing the connection ends the command.
func Exec(conn io.ReadWriter, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	to := &frames{w: conn}
	if err := ask(to, job{Argv: argv}); err != nil {
		return err
	}
	go func() { // ends with the input, or with the connection
		if stdin != nil {
			_, _ = io.Copy(to.of(frameIn), stdin)
		}
		_ = to.write(frameIn, nil)
	}()
	for {
		kind, p, err := readFrame(conn)
		switch {
		case err != nil:
			return fmt.Errorf("read the command's output: %w", err)
		case kind == frameOut && stdout != nil:
			_, err = stdout.Write(p)
		case kind == frameErr && stderr != nil:
			_, err = stderr.Write(p)
		case kind == frameExit || kind == frameFail:
			return outcome(kind, p)
		}
		if err != nil {
			return err
		}
	}
}

// Connect asks the agent to connect to a TCP port of its machine; conn is that connection when it
// returns nil.
func Connect(conn io.ReadWriter, port int) error {
	if err := ask(&frames{w: conn}, job{Port: port}); err != nil {
		return err
	}
	kind, p, err := readFrame(conn)
	if err == nil && kind != frameReady {
		err = outcome(kind, p)
	}
	return err
}

func ask(to *frames, j job) error {
	text, err := json.Marshal(j)
	if err == nil {
		err = to.write(frameJob, text)
	}
	if err != nil {
		return fmt.Errorf("ask the machine's agent: %w", err)
	}
	return nil
}

func outcome(kind byte, p []byte) error {
	status, err := strconv.Atoi(string(p))
	switch {
	case kind == frameFail:
		return errors.New(strings.ToValidUTF8(string(p), "?"))
	case err != nil:
		return fmt.Errorf("read the command's exit status: %w", err)
	case status != 0:
		return ExitError(status)
	}
	return nil
}
