// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
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
	return append(need, a.keyPermissions()...)
}

// keyHeader names the key of KMS that encrypts an object.
const keyHeader = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"

// keyPermissions are those for the key that a request names, or that has encrypted the object it reads. S3 uses it on
// behalf of the sender: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html.
func (a *action) keyPermissions() []iam.Request {
	key, actions := a.request.HTTP.Header.Get(keyHeader), []string{"kms:GenerateDataKey"}
	switch a.operation.name {
	case "CreateMultipartUpload": // whose parts are put together later
		actions = append(actions, "kms:Decrypt")
	case "GetObject":
		actions = []string{"kms:Decrypt"}
		if o, err := a.server.backend.object(a.operation.bucket, a.operation.key); err == nil {
			key = o.metadata[keyHeader]
		}
	}
	if key == "" {
		return nil
	}
	var need []iam.Request
	for _, action := range actions {
		need = append(need, iam.Request{Action: action, Resource: cloud.KeyARN(a.request.Region, key),
			Keys: map[string][]string{"kms:ViaService": {"s3." + a.request.Region + ".amazonaws.com"}}})
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
	if err := checkModel(a.operation.name, a.request.HTTP); err != nil {
		return err
	}
	// Only those who may list the bucket learn that an object does not exist.
	canList := iam.Request{Action: "s3:ListBucket", Resource: bucketARN(a.operation.bucket)}
	if a.readsMissingObject() && !sender.Allowed(canList) {
		return apierror.New("AccessDenied", "Access Denied")
	}
	return a.server.serve(w, a.request.HTTP, a.operation, sender)
}

func (a *action) readsMissingObject() bool {
	if a.operation.name != "GetObject" && a.operation.name != "HeadObject" {
		return false
	}
	_, err := a.server.backend.object(a.operation.bucket, a.operation.key)
	return err != nil
}

// serve answers a request; a returned error is still to be written.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, o operation, sender service.Sender) error {
	if err := s.checkBucket(w, r, o); err != nil {
		return err
	}
	if err := s.checkLocked(r, o); err != nil {
		return err
	}
	if o.name == "PutObject" && r.Header.Get("If-None-Match") == "*" {
		if _, err := s.backend.object(o.bucket, o.key); err == nil {
			return apierror.New("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
		}
	}
	switch {
	case o.isSetting():
		return s.serveSetting(w, r, o)
	case o.name == "ListObjectVersions":
		return s.serveVersions(w, r, o.bucket)
	case o.name == "DeleteObjects":
		return s.serveDeleteObjects(w, r, o, sender)
	case o.name == "DeleteObject" && o.version != "":
		return s.serveDeleteVersion(w, r, o)
	}
	switch o.name {
	case "HeadBucket":
		w.Header().Set(regionHeader, cmp.Or(s.backend.regionOf(o.bucket), firstRegion))
	case "CreateBucket":
		return s.createBucket(w, r, o.bucket)
	case "GetBucketLocation":
		return s.writeLocation(w, o.bucket)
	case "GetObjectAttributes":
		return s.getAttributes(w, r, o)
	case notServed:
		return apierror.New("NotImplemented", "The lab does not have this operation: "+r.Method+" "+r.URL.RequestURI())
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
