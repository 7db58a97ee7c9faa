// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"io"
	"net/http"
	"time"
)

// breaks does what the fault does at a moment and says whether the exchange is over.
func (f Fault) breaks(x *exchange, moment string) bool {
	if f.Code == "" || f.When != moment {
		return false
	}
	if moment == after {
		x.w = x.original
	}
	if look := views[f.Code]; look != nil {
		look(&x.ec2.Console, f)
		return false
	}
	x.code = f.Code
	switch f.Code {
	case slow:
		x.pause(f.Delay)
		x.code = ""
		return false
	case hang:
		x.status = 0
		x.note() // now, so that who waits for it to strike can tell
		x.pause(f.Delay)
		abort()
	case reset:
		x.status = 0
		abort()
	case unknown:
		x.code = ""
		if err := x.tooYoung(f.Delay); err != nil {
			x.refuse(refusalOf(x.service, err))
			return true
		}
		return false
	case cut:
		x.cut(f.Bytes)
		return false
	default:
		if x.service == "s3" { // reads what it is sent before it refuses it; else its answer is lost in the broken connection
			_, _ = io.Copy(io.Discard, x.r.Body)
		}
		x.refuse(x.answers(f.Code))
	}
	return true
}

// abort closes the connection without an answer, or in the middle of one.
func abort() { panic(http.ErrAbortHandler) }

// pause waits, less when the client goes away.
func (x *exchange) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.r.Context().Done():
	}
}

// cut lets so many bytes pass, of what S3 is sent or else of what is answered, and closes the connection then.
func (x *exchange) cut(limit int64) {
	if x.service == "s3" && x.r.Method == http.MethodPut {
		x.r.Body = &severed{x.r.Body, limit}
		x.w, x.severed = discard{}, true
		return
	}
	x.w = &severing{x.w, limit}
}

// severed is a request whose connection breaks in its middle.
type severed struct {
	io.ReadCloser
	left int64
}

func (s *severed) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.ReadCloser.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}

// severing is an answer whose connection breaks in its middle.
type severing struct {
	http.ResponseWriter
	left int64
}

func (s *severing) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p[:min(int64(len(p)), s.left)])
	if s.left -= int64(n); err == nil && s.left <= 0 && n < len(p) {
		_ = http.NewResponseController(s.ResponseWriter).Flush() // what the client gets of it
		abort()
	}
	return n, err
}

// Unwrap is for http.ResponseController.
func (s *severing) Unwrap() http.ResponseWriter { return s.ResponseWriter }
