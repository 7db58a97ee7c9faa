// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"maps"
	"net/url"
	"time"
)

// Content is a bucket, an object, a version that is not current, a delete marker, or a multipart upload that was
// neither completed nor aborted.
type Content struct {
	Kind           string // bucket, object, version, marker or upload
	ID             string // bucket, bucket/key, or bucket/key?versionId=id
	Size           int64  // in bytes
	Modified       time.Time
	Tags, Metadata map[string]string
}

// Contents returns all buckets, objects with all versions, and unfinished uploads, in no order.
func (s *Server) Contents() []Content {
	b := s.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Content
	for name, in := range b.buckets {
		all = append(all, Content{Kind: "bucket", ID: name, Modified: in.created})
		for key, o := range in.objects {
			metadata := maps.Clone(o.metadata)
			delete(metadata, taggingHeader)
			all = append(all, Content{"object", name + "/" + key, o.size, o.modified, tagsOf(o.metadata), metadata})
		}
	}
	all = append(all, b.older()...)
	for _, u := range b.uploads {
		one := Content{Kind: "upload", ID: u.bucket + "/" + u.key, Modified: u.created, Tags: tagsOf(u.meta),
			Metadata: storedMetadata(u.meta)}
		delete(one.Metadata, taggingHeader)
		for _, p := range u.parts {
			one.Size += p.size
		}
		all = append(all, one)
	}
	return all
}

// older returns the versions that are not current, and the delete markers. The caller holds b.mu.
func (b *Backend) older() (all []Content) {
	for name, in := range b.buckets {
		for key, versions := range in.older {
			for _, o := range versions {
				kind := "version"
				if o.marker {
					kind = "marker"
				}
				all = append(all, Content{Kind: kind, ID: name + "/" + key + "?versionId=" + idOf(o), Size: o.size,
					Modified: o.modified})
			}
		}
	}
	return all
}

// taggingHeader has the tags of an object as a query: a=1&b=2.
const taggingHeader = "X-Amz-Tagging"

func tagsOf(metadata map[string]string) map[string]string {
	values, err := url.ParseQuery(metadata[taggingHeader])
	if err != nil || len(values) == 0 {
		return nil
	}
	tags := map[string]string{}
	for name := range values {
		tags[name] = values.Get(name)
	}
	return tags
}
