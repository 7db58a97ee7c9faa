// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"encoding/xml"
	"fmt"
	"net/http"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

// hasUploads reports whether a bucket has multipart uploads that are not finished.
func (s *Server) hasUploads(bucket string) bool {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	for _, u := range s.backend.uploads {
		if u.bucket == bucket {
			return true
		}
	}
	return false
}

// writeNoUploads answers with an empty list of uploads, where gofakes3 would answer NoSuchUpload.
func writeNoUploads(w http.ResponseWriter, bucket string) error {
	return writeXML(w, struct {
		XMLName     xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListMultipartUploadsResult"`
		Bucket      string
		MaxUploads  int
		IsTruncated bool
	}{Bucket: bucket, MaxUploads: 1000})
}

func writeXML(w http.ResponseWriter, result any) error {
	body, err := xml.Marshal(result)
	if err != nil {
		return fmt.Errorf("encode a response of S3: %w", err)
	}
	service.Write(w, http.StatusOK, contentType, append([]byte(xml.Header), body...))
	return nil
}
