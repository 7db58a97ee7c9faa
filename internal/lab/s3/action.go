// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

// action is one request.
type action struct {
	server    *Server
	request   *service.Request
	operation operation
}

func (a *action) Name() string { return a.operation.name }

// Parameter returns the bucket, the key, or whether the request is presigned: S3 has these in the URL.
func (a *action) Parameter(name string) string {
	switch name {
	case "Bucket":
		return a.operation.bucket
	case "Key":
		return a.operation.key
	case "Presigned":
		return strconv.FormatBool(a.request.Presigned)
	}
	return ""
}

// Permissions are on the object, or on its bucket.
func (a *action) Permissions() []iam.Request {
	var need []iam.Request
	for _, permission := range a.operation.permissions {
		resource := bucketARN(a.operation.bucket)
		if a.operation.key != "" {
			resource += "/" + a.operation.key
		}
		need = append(need, iam.Request{Action: permission, Resource: resource})
	}
	return need
}

func bucketARN(bucket string) string { return "arn:aws:s3:::" + bucket }

// Record implements service.Recorder: the headers are those of encryption, tags, metadata and the expected owner, none
// of the signature's.
func (a *action) Record() (string, map[string]string) {
	headers := map[string]string{}
	for name, values := range a.request.HTTP.Header {
		switch {
		case name == "X-Amz-Security-Token", name == "X-Amz-Date", name == "X-Amz-Content-Sha256":
		case strings.HasPrefix(name, "X-Amz-"):
			headers[name] = values[0]
		}
	}
	return a.operation.bucket + "/" + a.operation.key, headers
}

func (a *action) Do(w http.ResponseWriter, sender service.Sender) error {
	// Only those who may list the bucket learn that an object does not exist.
	canList := iam.Request{Action: "s3:ListBucket", Resource: bucketARN(a.operation.bucket)}
	if a.readsMissingObject() && !sender.Allowed(canList) {
		return apierror.New("AccessDenied", "Access Denied")
	}
	return a.server.serve(w, a.request.HTTP, a.operation)
}

func (a *action) readsMissingObject() bool {
	if a.operation.name != "GetObject" && a.operation.name != "HeadObject" {
		return false
	}
	_, err := a.server.backend.object(a.operation.bucket, a.operation.key)
	return err != nil
}

// serve answers a request; a returned error is still to be written.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, o operation) error {
	if err := s.checkBucket(w, r, o); err != nil {
		return err
	}
	if o.name == "PutObject" && r.Header.Get("If-None-Match") == "*" {
		if _, err := s.backend.object(o.bucket, o.key); err == nil {
			return apierror.New("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
		}
	}
	switch o.name {
	case "HeadBucket":
		w.Header().Set(regionHeader, cmp.Or(s.backend.regionOf(o.bucket), firstRegion))
	case "CreateBucket":
		return s.createBucket(w, r, o.bucket)
	case "GetBucketLocation":
		return s.writeLocation(w, o.bucket)
	}
	if strings.HasSuffix(o.name, "ObjectTagging") {
		return s.serveTagging(w, r, o)
	}
	if o.name == "ListMultipartUploads" && !s.hasUploads(o.bucket) {
		return writeNoUploads(w, o.bucket)
	}
	wantsChecksum := strings.EqualFold(r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") && r.Header.Get("Range") == ""
	to := &headerFixer{ResponseWriter: w, checksum: wantsChecksum}
	s.fake.ServeHTTP(to, r)
	if !to.sent { // a response to HEAD may write nothing
		to.fixHeaders()
	}
	return nil
}
