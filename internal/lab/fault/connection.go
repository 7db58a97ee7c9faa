// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package fault

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

// Slow delays the call.
type Slow struct{ Delay time.Duration }

// Apply waits.
func (s Slow) Apply(c *Call) error {
	wait(c.HTTP.Context(), s.Delay)
	return nil
}

// Hang keeps the connection open for a while and closes it without an answer.
type Hang struct{ Duration time.Duration }

// Apply records the call at once, so that others see that it hangs. It reads the body: net/http only tells that the
// client has gone when there is nothing left to read.
func (h Hang) Apply(c *Call) error {
	c.Record("hang")
	_, _ = io.Copy(io.Discard, c.HTTP.Body)
	wait(c.HTTP.Context(), h.Duration)
	CloseConnection()
	return nil
}

// Reset closes the connection without an answer.
type Reset struct{}

// Apply does not return.
func (Reset) Apply(c *Call) error {
	c.Record("reset")
	CloseConnection()
	return nil
}

// HideNew makes resources that are younger than Age unknown: the service is eventually consistent.
type HideNew struct{ Age time.Duration }

// Apply does nothing where the action is not eventually consistent.
func (h HideNew) Apply(c *Call) error {
	if a, ok := c.Action.(service.EventuallyConsistent); ok && h.Age > 0 {
		return a.NotVisibleYet(h.Age)
	}
	return nil
}

// Cut closes the connection after some bytes: of an upload to a service that streams it, or else of the response.
type Cut struct{ Bytes int64 }

// Apply limits the body of the request or of the response.
func (f Cut) Apply(c *Call) error {
	c.Code = "cut"
	if c.Streamed && c.HTTP.Method == http.MethodPut {
		c.HTTP.Body = &truncatedReader{c.HTTP.Body, f.Bytes}
		c.Response, c.Abort = Discard, true
		return nil
	}
	c.Response = &truncatedWriter{c.Response, f.Bytes}
	return nil
}

// CloseConnection ends the handler of a request: the server closes the connection without an answer, or in the middle
// of it. It does not return.
func CloseConnection() { panic(http.ErrAbortHandler) }

// wait returns after a duration, or when the client has gone.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// truncatedReader is a body that breaks off when so many bytes have been read.
type truncatedReader struct {
	io.ReadCloser
	left int64
}

func (r *truncatedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := r.ReadCloser.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// truncatedWriter is a response whose connection is closed when so many bytes have been written.
type truncatedWriter struct {
	http.ResponseWriter
	left int64
}

func (w *truncatedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(int64(len(p)), w.left)])
	if w.left -= int64(n); err == nil && w.left <= 0 && n < len(p) {
		_ = http.NewResponseController(w.ResponseWriter).Flush() // the client gets the bytes before the break
		CloseConnection()
	}
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *truncatedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Discard is a response that nobody gets.
var Discard http.ResponseWriter = discard{}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
