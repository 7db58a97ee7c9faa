// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"bufio"
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/fault"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/frame"
)

// controlPath is the path of the lab's own API, for what AWS has no call for. It requires the lab's secret key as a
// bearer token, because machines can reach this port, too, and must not control others.
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

// reclaim interrupts the Spot Instance ?instance= after ?notice=, a duration, by default 0s.
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

// serveExec runs ?arg=... in ?instance=..., with the body as its input. It answers with frames of package frame.
func (l *Lab) serveExec(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1 of net/http always supports it
	q := r.URL.Query()
	frames := frame.NewWriter(flushWriter{w})
	stdin, stop, err := inputOf(r)
	if err != nil {
		_ = frames.Write(frame.Fail, []byte(err.Error()))
		return
	}
	defer stop()
	err = l.cloud.Exec(r.Context(), q.Get("instance"), q["arg"], stdin, frames.Stream(frame.Out),
		frames.Stream(frame.Err))
	var exit interface {
		error
		ExitCode() int
	}
	switch {
	case err == nil:
		_ = frames.Write(frame.Exit, []byte("0"))
	case errors.As(err, &exit):
		_ = frames.Write(frame.Exit, []byte(strconv.Itoa(exit.ExitCode())))
	default:
		_ = frames.Write(frame.Fail, []byte(err.Error()))
	}
}

// inputOf passes the body on through a pipe. Without it, a command that does not read its input would not end before
// the input does.
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

// flushWriter sends each write at once.
type flushWriter struct{ w http.ResponseWriter }

func (f flushWriter) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	_ = http.NewResponseController(f.w).Flush()
	return n, err
}

// ReadExec reads the response to exec and returns the command's exit status.
func ReadExec(r io.Reader, stdout, stderr io.Writer) (int, error) {
	kind, p, err := frame.CopyOutput(bufio.NewReader(r), stdout, stderr)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, errors.New("read the command's output: the lab ended the connection")
	}
	if err != nil {
		return 0, err
	}
	if kind == frame.Fail {
		return 0, errors.New(string(p))
	}
	return strconv.Atoi(string(p))
}
