// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"bufio"
	"cmp"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/fault"
)

// controlPath is where the lab answers what AWS has no call for. It takes the lab's secret key as a
// bearer token: machines reach this port, too, and must not command others.
const controlPath = "/_lab/"

func (l *Lab) control(w http.ResponseWriter, r *http.Request) {
	want := "Bearer " + l.secretKey
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) != 1 {
		http.Error(w, "the lab's secret key is needed as a bearer token", http.StatusUnauthorized)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET " + controlPath + "calls":
		l.serveCalls(w)
	case "DELETE " + controlPath + "calls":
		l.clearCalls()
	case "GET " + controlPath + "faults":
		l.serveFaults(w)
	case "POST " + controlPath + "faults":
		l.addFaults(w, r)
	case "DELETE " + controlPath + "faults":
		l.faults.Clear()
	case "GET " + controlPath + "state":
		l.serveState(w)
	case "POST " + controlPath + "reclaim":
		l.reclaim(w, r)
	case "POST " + controlPath + "exec":
		l.serveExec(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (l *Lab) serveCalls(w http.ResponseWriter) { writeList(w, l.Calls()) }

// serveFaults lists the faults that can still affect calls.
func (l *Lab) serveFaults(w http.ResponseWriter) { writeList(w, l.faults.Texts()) }

// writeList answers with a JSON list, also where there is nothing to list.
func writeList[T any](w http.ResponseWriter, all []T) {
	if all == nil {
		all = []T{}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all) //nolint:errchkjson // fails only when the client is gone
}

// reclaim takes the Spot Instance ?instance= back, after ?notice=, which is a duration and 0s when it is missing.
func (l *Lab) reclaim(w http.ResponseWriter, r *http.Request) {
	notice, err := time.ParseDuration(cmp.Or(r.URL.Query().Get("notice"), "0s"))
	if err == nil {
		err = l.cloud.Reclaim(r.URL.Query().Get("instance"), notice)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// addFaults adds the faults of the body, one on each line; none when one of them is wrong.
func (l *Lab) addFaults(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var all []fault.Fault
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		one, wrong := fault.Parse(line)
		err = errors.Join(err, wrong)
		all = append(all, one)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.faults.Add(all...)
}

// The answer to exec is a row of frames: a kind, a length of four bytes, big endian, and so many bytes.
const (
	frameOut  = 'o'
	frameErr  = 'e'
	frameExit = 'x' // the exit status in decimal; the last frame
	frameFail = 'f' // why the command could not be run; the last frame
)

// serveExec runs ?arg=... in ?instance=... with the body as its input.
func (l *Lab) serveExec(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1 of net/http always can
	q := r.URL.Query()
	frames := &framer{w: w}
	stdin, stop, err := inputOf(r)
	if err != nil {
		frames.write(frameFail, []byte(err.Error()))
		return
	}
	defer stop()
	err = l.cloud.Exec(r.Context(), q.Get("instance"), q["arg"], stdin, frames.of(frameOut), frames.of(frameErr))
	var exit interface {
		error
		ExitCode() int
	}
	switch {
	case err == nil:
		frames.write(frameExit, []byte("0"))
	case errors.As(err, &exit):
		frames.write(frameExit, []byte(strconv.Itoa(exit.ExitCode())))
	default:
		frames.write(frameFail, []byte(err.Error()))
	}
}

// inputOf hands the body on through a pipe, so that a command that does not read its input is not
// waited for until the input ends.
func inputOf(r *http.Request) (io.Reader, func(), error) {
	if r.ContentLength == 0 {
		return nil, func() {}, nil
	}
	from, to, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	go func() {
		_, _ = io.Copy(to, r.Body) // ends when the command or the client does
		_ = to.Close()
	}()
	return from, func() { _ = from.Close() }, nil
}

type framer struct {
	mu sync.Mutex
	w  http.ResponseWriter
}

func (f *framer) write(kind byte, p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	header := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(p))) //nolint:gosec // a buffer's length
	_, _ = f.w.Write(append(header, p...))
	_ = http.NewResponseController(f.w).Flush()
}

func (f *framer) of(kind byte) io.Writer { return stream{f, kind} }

type stream struct {
	f    *framer
	kind byte
}

func (s stream) Write(p []byte) (int, error) {
	s.f.write(s.kind, p)
	return len(p), nil
}

// ReadExec reads the answer to exec and returns the command's exit status.
func ReadExec(r io.Reader, stdout, stderr io.Writer) (int, error) {
	in := bufio.NewReader(r)
	for {
		var header [5]byte
		if _, err := io.ReadFull(in, header[:]); err != nil {
			return 0, errors.New("read the command's output: the lab went away")
		}
		size := int64(binary.BigEndian.Uint32(header[1:]))
		switch header[0] {
		case frameOut, frameErr:
			to := stdout
			if header[0] == frameErr {
				to = stderr
			}
			if _, err := io.CopyN(to, in, size); err != nil {
				return 0, err
			}
		default:
			text, err := io.ReadAll(io.LimitReader(in, size))
			if err != nil {
				return 0, err
			}
			if header[0] == frameFail {
				return 0, errors.New(string(text))
			}
			return strconv.Atoi(string(text))
		}
	}
}
