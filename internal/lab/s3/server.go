// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"context"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/rclone/gofakes3"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

// Server is the S3 API of an account.
type Server struct {
	account string
	backend *Backend
	fake    http.Handler
}

// NewServer serves a backend. It creates two buckets: the account's own, which answers in every region, and a foreign
// one, which belongs to another account and lets everybody in.
func NewServer(b *Backend, account, own, foreign string) (*Server, error) {
	for _, name := range []string{own, foreign} {
		if err := b.CreateBucket(context.Background(), name); err != nil {
			return nil, err
		}
	}
	b.buckets[foreign].foreign = true
	return &Server{account, b, gofakes3.New(b, gofakes3.WithTimeSkewLimit(0)).Server()}, nil
}

// Overwrite replaces the content of all objects in a bucket whose keys end with a name, as somebody does who may write
// the bucket, without a call that is counted or broken.
func (s *Server) Overwrite(bucket, name, content string) error {
	return s.backend.overwrite(bucket, name, content)
}

// Name implements service.Service, as do Parse, Errors and WriteError.
func (s *Server) Name() string { return service.S3 }

// Parse reads which operation a request is. It does not read the body.
func (s *Server) Parse(r *service.Request) (service.Action, error) {
	return &action{s, r, operationOf(r.HTTP)}, nil
}

// Errors returns how S3 reports errors.
func (s *Server) Errors() *service.Errors { return &s3Errors }

// WriteError answers with an error as XML, or without a body where the request is a HEAD.
func (s *Server) WriteError(w http.ResponseWriter, r *service.Request, e *apierror.Error) {
	type response struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Resource  string
		RequestID string `xml:"RequestId"`
	}
	var body []byte
	if r.HTTP.Method != http.MethodHead {
		// it cannot fail
		text, _ := xml.Marshal(response{Code: e.Code, Message: e.Message, Resource: r.HTTP.URL.Path, RequestID: "LAB"})
		body = append([]byte(xml.Header), text...)
	}
	service.Write(w, s3Errors.Status(e.Code), contentType, body)
}

// Verify implements service.BodyStreamer.
func (s *Server) Verify(keys *sigv4.Keys, r *http.Request) (sigv4.Principal, error) {
	return keys.VerifyS3(r)
}

const contentType = "application/xml"

// headerFixer corrects headers of gofakes3's responses.
type headerFixer struct {
	http.ResponseWriter
	checksum bool
	sent     bool
}

// WriteHeader sends the first status only. gofakes3 writes a second one when the client is gone before the end of an
// object.
func (w *headerFixer) WriteHeader(status int) {
	if w.sent {
		return
	}
	w.sent = true
	w.fixHeaders()
	w.ResponseWriter.WriteHeader(status)
}

func (w *headerFixer) Write(b []byte) (int, error) {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

func (w *headerFixer) fixHeaders() {
	h := w.Header()
	if parts := h.Get(partsHeader); parts != "" {
		h.Set("ETag", strings.TrimSuffix(h.Get("ETag"), "\"")+"-"+parts+"\"")
		h.Del(partsHeader)
	}
	countTags(h)
	for name := range h {
		if isChecksum(name) && !w.checksum {
			h.Del(name)
		}
	}
}
