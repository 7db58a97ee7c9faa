// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"encoding/xml"
	"net/http"
)

// uploading says whether anything is being uploaded in parts to a bucket.
func (s *Server) uploading(bucket string) bool {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	for _, u := range s.backend.uploads {
		if u.bucket == bucket {
			return true
		}
	}
	return false
}

// empty is the list of uploads where there are none, in place of which gofakes3 says NoSuchUpload.
func empty(w http.ResponseWriter, bucket string) {
	w.Header().Set("Content-Type", "application/xml")
	text, err := xml.Marshal(struct {
		XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListMultipartUploadsResult"`
		Bucket      string
		MaxUploads  int
		IsTruncated bool
	}{Bucket: bucket, MaxUploads: 1000})
	if err == nil {
		_, _ = w.Write(append([]byte(xml.Header), text...)) // a client that went away reads nothing
	}
}
