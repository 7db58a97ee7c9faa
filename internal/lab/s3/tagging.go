// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// gofakes3 knows no tags of objects; they are kept here as the header they come in.

type tagging struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ Tagging"`
	Tags    []tag    `xml:"TagSet>Tag"`
}

type tag struct{ Key, Value string }

// taggingOperation is what is asked of an object's tags.
func taggingOperation(method string) (string, []string) {
	switch method {
	case http.MethodGet:
		return "GetObjectTagging", []string{"s3:GetObjectTagging"}
	case http.MethodDelete:
		return "DeleteObjectTagging", []string{"s3:DeleteObjectTagging"}
	}
	return "PutObjectTagging", []string{"s3:PutObjectTagging"}
}

func (s *Server) serveTagging(w http.ResponseWriter, r *http.Request, o Operation) {
	have, err := s.backend.object(o.Bucket, o.Key)
	if err != nil {
		Refuse(w, r, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	}
	switch o.Name {
	case "GetObjectTagging":
		var x tagging
		tags := tagsOf(have.metadata)
		for _, key := range slices.Sorted(maps.Keys(tags)) {
			x.Tags = append(x.Tags, tag{key, tags[key]})
		}
		text, _ := xml.Marshal(x)
		w.Header().Set("Content-Type", "application/xml")
		_, _ = w.Write(append([]byte(xml.Header), text...)) // a client that went away reads nothing
	case "DeleteObjectTagging":
		s.backend.retag(o, "")
		w.WriteHeader(http.StatusNoContent)
	default:
		var x tagging
		text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // ten tags are a few kilobytes
		if err == nil {
			err = xml.Unmarshal(text, &x)
		}
		if err != nil || len(x.Tags) > maxTags {
			Refuse(w, r, http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
			return
		}
		values := url.Values{}
		for _, t := range x.Tags {
			values.Set(t.Key, t.Value)
		}
		s.backend.retag(o, values.Encode())
	}
}

// maxTags is how many an object may have (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html).
const maxTags = 10

// retag gives an object other tags.
func (b *Backend) retag(at Operation, tags string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in, err := b.bucket(at.Bucket)
	if err != nil || in.objects[at.Key] == nil {
		return // deleted meanwhile
	}
	o := *in.objects[at.Key]
	o.metadata = maps.Clone(o.metadata)
	if o.metadata[taggingHeader] = tags; tags == "" {
		delete(o.metadata, taggingHeader)
	}
	in.objects[at.Key] = &o
}

// countTags says how many tags an object has, where S3 does not say which.
func countTags(h http.Header) {
	if n := len(tagsOf(map[string]string{taggingHeader: h.Get(taggingHeader)})); n > 0 {
		h.Set("X-Amz-Tagging-Count", strconv.Itoa(n))
	}
	h.Del(taggingHeader)
}
