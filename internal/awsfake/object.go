// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"bytes"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/rclone/gofakes3"
)

// answerObject answers a call of S3, in the place of a network between it and the SDK's client.
func (a *Account) answerObject(w http.ResponseWriter, r *http.Request) {
	r.RequestURI = r.URL.RequestURI()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, err := io.ReadAll(r.Body) // all of it: a checksum follows the content
	if err != nil {
		a.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if bucket, _, found := strings.Cut(r.URL.Host, ".s3."); found {
		r.URL.Path = strings.TrimSuffix("/"+bucket+r.URL.Path, "/")
	}
	if r.ContentLength > 0 {
		r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10)) // which a network would add
	}
	action := r.Method + " object"
	a.Calls = append(a.Calls, action)
	if failure := a.failure(a.FailBefore, action); failure != nil {
		w.WriteHeader(failure.Status)
		return
	}
	a.s3.ServeHTTP(w, r)
	_, key, _ := strings.Cut(r.URL.Path, "/"+Bucket+"/")
	if path.Base(key) == "user-data" && r.Method == http.MethodPut {
		a.stagedUserData = a.object(key)
	}
}

// object returns the content of an object.
func (a *Account) object(key string) []byte {
	object, err := a.objects.GetObject(a.t.Context(), Bucket, key, nil)
	if err != nil {
		a.t.Error(err)
		return nil
	}
	defer func() { _ = object.Contents.Close() }()
	content, err := io.ReadAll(object.Contents)
	if err != nil {
		a.t.Error(err)
	}
	return content
}

// PutObject puts an object into the bucket, as a machine does.
func (a *Account) PutObject(key, content string) {
	_, err := a.objects.PutObject(a.t.Context(), Bucket, key, nil, strings.NewReader(content), int64(len(content)))
	if err != nil {
		a.t.Error(err)
	}
}

// Objects returns the keys of the bucket.
func (a *Account) Objects() []string {
	page, err := a.objects.ListBucket(a.t.Context(), Bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		a.t.Fatal(err)
	}
	var keys []string
	for _, object := range page.Contents {
		keys = append(keys, object.Key)
	}
	return keys
}

// ShareBucket gives the account the bucket of another one, with all that is in it.
func (a *Account) ShareBucket(other *Account) { a.s3, a.objects = other.s3, other.objects }
