// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"cmp"
	"context"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/rclone/gofakes3"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
)

// Server answers S3 requests whose sender is known and allowed to make them.
type Server struct {
	account string
	backend *Backend
	fake    http.Handler
}

// NewServer serves a backend of an account, with a bucket of its own there from the start that answers in every region, and
// one of somebody else's who lets everybody in.
func NewServer(b *Backend, account, own, foreign string) (*Server, error) {
	for _, name := range []string{own, foreign} {
		if err := b.CreateBucket(context.Background(), name); err != nil {
			return nil, err
		}
	}
	b.buckets[foreign].foreign = true
	return &Server{account, b, gofakes3.New(b, gofakes3.WithTimeSkewLimit(0)).Server()}, nil
}

// Operation is one S3 call.
type Operation struct {
	Name        string   // as in the API reference: PutObject
	Permissions []string // s3:PutObject
	Bucket, Key string
}

// Needs are what the sender of an operation must be allowed: on the object, or on its bucket.
func (o Operation) Needs() []iam.Request {
	var need []iam.Request
	for _, action := range o.Permissions {
		on := "arn:aws:s3:::" + o.Bucket
		if o.Key != "" {
			on += "/" + o.Key
		}
		need = append(need, iam.Request{Action: action, Resource: on})
	}
	return need
}

// Listing is what only those may know who may list the bucket.
func (o Operation) Listing() iam.Request {
	return iam.Request{Action: "s3:ListBucket", Resource: "arn:aws:s3:::" + o.Bucket}
}

// OperationOf reads which operation a request is.
func OperationOf(r *http.Request) Operation {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	o := Operation{Bucket: bucket, Key: key}
	q := r.URL.Query()
	switch {
	case bucket == "":
		o.Name, o.Permissions = "ListBuckets", []string{"s3:ListAllMyBuckets"}
	case key == "":
		o.Name, o.Permissions = bucketOperation(r.Method, q.Has)
	case q.Has("uploads") || q.Has("uploadId"):
		o.Name, o.Permissions = uploadOperation(r.Method, q.Has)
	case q.Has("tagging"):
		o.Name, o.Permissions = taggingOperation(r.Method)
	default:
		o.Name, o.Permissions = objectOperation(r)
		if r.Header.Get(taggingHeader) != "" {
			o.Permissions = append(o.Permissions, "s3:PutObjectTagging")
		}
	}
	return o
}

func bucketOperation(method string, has func(string) bool) (string, []string) {
	switch {
	case method == http.MethodPost && has("delete"):
		return "DeleteObjects", []string{"s3:DeleteObject"}
	case method == http.MethodGet && has("location"):
		return "GetBucketLocation", []string{"s3:GetBucketLocation"}
	case method == http.MethodGet && has("uploads"):
		return "ListMultipartUploads", []string{"s3:ListBucketMultipartUploads"}
	case method == http.MethodGet && has("versioning"):
		return "GetBucketVersioning", []string{"s3:GetBucketVersioning"}
	case method == http.MethodGet:
		return "ListObjectsV2", []string{"s3:ListBucket"}
	case method == http.MethodHead:
		return "HeadBucket", []string{"s3:ListBucket"}
	case method == http.MethodDelete:
		return "DeleteBucket", []string{"s3:DeleteBucket"}
	}
	return "CreateBucket", []string{"s3:CreateBucket"}
}

func uploadOperation(method string, has func(string) bool) (string, []string) {
	switch {
	case method == http.MethodDelete:
		return "AbortMultipartUpload", []string{"s3:AbortMultipartUpload"}
	case method == http.MethodGet:
		return "ListParts", []string{"s3:ListMultipartUploadParts"}
	case method == http.MethodPut:
		return "UploadPart", []string{"s3:PutObject"}
	case has("uploads"):
		return "CreateMultipartUpload", []string{"s3:PutObject"}
	}
	return "CompleteMultipartUpload", []string{"s3:PutObject"}
}

func objectOperation(r *http.Request) (string, []string) {
	switch {
	case r.Method == http.MethodGet:
		return "GetObject", []string{"s3:GetObject"}
	case r.Method == http.MethodHead:
		return "HeadObject", []string{"s3:GetObject"}
	case r.Method == http.MethodDelete:
		return "DeleteObject", []string{"s3:DeleteObject"}
	case r.Header.Get("X-Amz-Copy-Source") != "":
		return "CopyObject", []string{"s3:GetObject", "s3:PutObject"}
	}
	return "PutObject", []string{"s3:PutObject"}
}

// Missing says whether a request reads an object that is not there. S3 admits that only to those who
// may list the bucket; to others it says AccessDenied.
func (s *Server) Missing(o Operation) bool {
	if o.Name != "GetObject" && o.Name != "HeadObject" {
		return false
	}
	_, err := s.backend.object(o.Bucket, o.Key)
	return err != nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o := OperationOf(r)
	if s.elsewhere(w, r, o) {
		return
	}
	if o.Name == "PutObject" && r.Header.Get("If-None-Match") == "*" {
		if _, err := s.backend.object(o.Bucket, o.Key); err == nil {
			Refuse(w, r, http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
			return
		}
	}
	switch o.Name {
	case "HeadBucket":
		w.Header().Set(regionHeader, cmp.Or(s.backend.regionOf(o.Bucket), firstRegion))
	case "CreateBucket":
		s.create(w, r, o.Bucket)
		return
	case "GetBucketLocation":
		s.location(w, r, o.Bucket)
		return
	}
	if strings.HasSuffix(o.Name, "ObjectTagging") {
		s.serveTagging(w, r, o)
		return
	}
	if o.Name == "ListMultipartUploads" && !s.uploading(o.Bucket) {
		empty(w, o.Bucket)
		return
	}
	wantsChecksum := strings.EqualFold(r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") && r.Header.Get("Range") == ""
	to := &writer{ResponseWriter: w, checksum: wantsChecksum}
	s.fake.ServeHTTP(to, r)
	if !to.sent { // the answer to a HEAD writes nothing
		to.fix()
	}
}

// writer corrects headers that gofakes3 cannot know about.
type writer struct {
	http.ResponseWriter
	checksum bool
	sent     bool
}

// WriteHeader sends the first status. gofakes3 has a second one when the client has left in the middle of an object.
func (w *writer) WriteHeader(status int) {
	if w.sent {
		return
	}
	w.sent = true
	w.fix()
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

func (w *writer) fix() {
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

// Refuse answers with an error as S3 words it.
func Refuse(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	type refusal struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Resource  string
		RequestID string `xml:"RequestId"`
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	b, err := xml.Marshal(refusal{Code: code, Message: message, Resource: r.URL.Path, RequestID: "LAB"})
	if err == nil {
		_, _ = w.Write(append([]byte(xml.Header), b...)) // a client that went away reads nothing
	}
}
