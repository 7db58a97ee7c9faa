// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"net/http"
	"strings"
)

// operation is one S3 call.
type operation struct {
	name        string   // as in the API reference: PutObject
	permissions []string // s3:PutObject
	bucket, key string
}

// operationOf reads which operation a request is.
func operationOf(r *http.Request) operation {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	o := operation{bucket: bucket, key: key}
	q := r.URL.Query()
	switch {
	case bucket == "":
		o.name, o.permissions = "ListBuckets", []string{"s3:ListAllMyBuckets"}
	case key == "":
		o.name, o.permissions = bucketOperation(r.Method, q.Has)
	case q.Has("uploads") || q.Has("uploadId"):
		o.name, o.permissions = uploadOperation(r.Method, q.Has)
	case q.Has("tagging"):
		o.name, o.permissions = taggingOperation(r.Method)
	default:
		o.name, o.permissions = objectOperation(r)
		if r.Header.Get(taggingHeader) != "" {
			o.permissions = append(o.permissions, "s3:PutObjectTagging")
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
