// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// operation is one S3 call.
type operation struct {
	name        string   // as in the API reference: PutObject
	permissions []string // s3:PutObject
	bucket, key string
	version     string // of the object; "": the current one
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
	case q.Has("versionId") && r.Method != http.MethodPut:
		o.name, o.permissions = versionOperation(r.Method)
		o.version = q.Get("versionId")
	case q.Has("uploads") || q.Has("uploadId"):
		o.name, o.permissions = uploadOperation(r.Method, q.Has)
	case q.Has("tagging"):
		o.name, o.permissions = taggingOperation(r.Method)
	case q.Has("attributes") && r.Method == http.MethodGet:
		o.name, o.permissions = "GetObjectAttributes", []string{"s3:GetObject", "s3:GetObjectAttributes"}
	case hasAny(q.Has, "acl", "restore", "select", "torrent"):
		o.name, o.permissions = notServed, []string{"s3:GetObject"}
	default:
		o.name, o.permissions = objectOperation(r)
		if r.Header.Get(taggingHeader) != "" {
			o.permissions = append(o.permissions, "s3:PutObjectTagging")
		}
	}
	return o
}

// Actions returns the names of all operations.
func Actions() []string {
	return []string{
		"AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateBucket", "CreateMultipartUpload",
		"DeleteBucket", "DeleteObject", "DeleteObjectTagging", "DeleteObjects", "GetBucketLocation",
		"GetBucketVersioning", "GetObject", "GetObjectAttributes", "GetObjectTagging", "HeadBucket", "HeadObject",
		"ListBuckets", "ListMultipartUploads", "ListObjectsV2", "ListParts", "PutObject", "PutObjectTagging",
		"UploadPart",
	}
}

// notServed is the name of operations on objects that S3 has and the lab does not.
const notServed = "NotServed"

func hasAny(has func(string) bool, names ...string) bool { return slices.ContainsFunc(names, has) }

// settingsOfBuckets are the operations on the settings of a bucket, by parameter: what reads one, and what sets it.
var settingsOfBuckets = map[string][2]string{
	"versioning":  {"GetBucketVersioning", "PutBucketVersioning"},
	"object-lock": {"GetObjectLockConfiguration", "PutObjectLockConfiguration"},
	"lifecycle":   {"GetBucketLifecycleConfiguration", "PutBucketLifecycleConfiguration"},
	"policy":      {"GetBucketPolicy", "PutBucketPolicy"},
}

// settingPermissions are the permissions of those that have another name than the operation.
var settingPermissions = map[string]string{
	"GetObjectLockConfiguration":      "s3:GetBucketObjectLockConfiguration",
	"PutObjectLockConfiguration":      "s3:PutBucketObjectLockConfiguration",
	"GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
	"PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
	"DeleteBucketLifecycle":           "s3:PutLifecycleConfiguration",
}

// settingOperation returns the operation on a setting of a bucket, and its permissions; "" when it is none.
func settingOperation(method string, has func(string) bool) (string, []string) {
	for name, operations := range settingsOfBuckets {
		if !has(name) {
			continue
		}
		operation := operations[0]
		switch {
		case method == http.MethodPut:
			operation = operations[1]
		case method == http.MethodDelete && name == "policy":
			operation = "DeleteBucketPolicy"
		case method == http.MethodDelete && name == "lifecycle":
			operation = "DeleteBucketLifecycle"
		case method != http.MethodGet:
			return "", nil
		}
		return operation, []string{cmp.Or(settingPermissions[operation], "s3:"+operation)}
	}
	return "", nil
}

func bucketOperation(method string, has func(string) bool) (string, []string) {
	if name, permissions := settingOperation(method, has); name != "" {
		return name, permissions
	}
	switch {
	case method == http.MethodPost && has("delete"):
		return "DeleteObjects", nil // it says of each object whether it was allowed
	case method == http.MethodGet && has("versions"):
		return "ListObjectVersions", []string{"s3:ListBucketVersions"}
	case method == http.MethodGet && has("location"):
		return "GetBucketLocation", []string{"s3:GetBucketLocation"}
	case method == http.MethodGet && has("uploads"):
		return "ListMultipartUploads", []string{"s3:ListBucketMultipartUploads"}
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

// versionOperation returns the operation on a version of an object.
func versionOperation(method string) (string, []string) {
	switch method {
	case http.MethodHead:
		return "HeadObject", []string{"s3:GetObjectVersion"}
	case http.MethodDelete:
		return "DeleteObject", []string{"s3:DeleteObjectVersion"}
	}
	return "GetObject", []string{"s3:GetObjectVersion"}
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
