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

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// gofakes3 has no tags of objects. They are stored as metadata, in the form of the header that sets them.

type tagging struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ Tagging"`
	Tags    []tag    `xml:"TagSet>Tag"`
}

type tag struct{ Key, Value string }

// taggingOperation returns the operation on an object's tags, and its permissions.
func taggingOperation(method string) (string, []string) {
	switch method {
	case http.MethodGet:
		return "GetObjectTagging", []string{"s3:GetObjectTagging"}
	case http.MethodDelete:
		return "DeleteObjectTagging", []string{"s3:DeleteObjectTagging"}
	}
	return "PutObjectTagging", []string{"s3:PutObjectTagging"}
}

func (s *Server) serveTagging(w http.ResponseWriter, r *http.Request, o operation) error {
	found, err := s.backend.object(o.bucket, o.key)
	if err != nil {
		return apierror.New("NoSuchKey", "The specified key does not exist.")
	}
	switch o.name {
	case "GetObjectTagging":
		var response tagging
		tags := tagsOf(found.metadata)
		for _, key := range slices.Sorted(maps.Keys(tags)) {
			response.Tags = append(response.Tags, tag{key, tags[key]})
		}
		return writeXML(w, response)
	case "DeleteObjectTagging":
		s.backend.setTags(o, "")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return s.putTagging(r, o)
}

func (s *Server) putTagging(r *http.Request, o operation) error {
	var request tagging
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // ten tags are a few kilobytes
	if err == nil {
		err = xml.Unmarshal(text, &request)
	}
	if err != nil || len(request.Tags) > maxTags {
		return apierror.New("MalformedXML",
			"The XML you provided was not well-formed or did not validate against our published schema")
	}
	values := url.Values{}
	for _, t := range request.Tags {
		values.Set(t.Key, t.Value)
	}
	s.backend.setTags(o, values.Encode())
	return nil
}

// maxTags is how many an object may have (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html).
const maxTags = 10

// setTags replaces an object's tags.
func (b *Backend) setTags(at operation, tags string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in, err := b.bucket(at.bucket)
	if err != nil || in.objects[at.key] == nil {
		return // deleted meanwhile
	}
	o := *in.objects[at.key]
	o.metadata = maps.Clone(o.metadata)
	if o.metadata[taggingHeader] = tags; tags == "" {
		delete(o.metadata, taggingHeader)
	}
	in.objects[at.key] = &o
}

// countTags replaces the tags of an object by their number: a response to GetObject and HeadObject has no more.
func countTags(h http.Header) {
	if n := len(tagsOf(map[string]string{taggingHeader: h.Get(taggingHeader)})); n > 0 {
		h.Set("X-Amz-Tagging-Count", strconv.Itoa(n))
	}
	h.Del(taggingHeader)
}
