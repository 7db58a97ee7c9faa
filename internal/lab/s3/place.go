// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

const (
	regionHeader = "X-Amz-Bucket-Region"
	firstRegion  = "us-east-1" // where a bucket says to be that answers everywhere
	foreignOwner = "999999999999"
)

// regionOf is where a bucket is; "" is everywhere.
func (b *Backend) regionOf(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if in := b.buckets[name]; in != nil {
		return in.region
	}
	return ""
}

// owner is the account that a bucket belongs to; "" when there is no such bucket.
func (s *Server) owner(name string) string {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	switch in := s.backend.buckets[name]; {
	case in == nil:
		return ""
	case in.foreign:
		return foreignOwner
	}
	return s.account
}

// elsewhere refuses a bucket that is another's than the request expects, or in another region than the one it was signed
// for: S3 answers such a request at the wrong region's endpoint.
func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request, o Operation) bool {
	owner := s.owner(o.Bucket)
	if want := r.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && want != "" && want != owner {
		Refuse(w, r, http.StatusForbidden, "AccessDenied", "Access Denied")
		return true
	}
	region := s.backend.regionOf(o.Bucket)
	scope, err := sigv4.ReadScope(r)
	if err != nil || region == "" || scope.Region == region || o.Name == "GetBucketLocation" { // which answers anywhere
		return false
	}
	w.Header().Set(regionHeader, region)
	Refuse(w, r, http.StatusMovedPermanently, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the "+
		"specified endpoint. Please send all future requests to this endpoint.")
	return true
}

// create makes a bucket where its request says, or everywhere.
func (s *Server) create(w http.ResponseWriter, r *http.Request, name string) {
	var in struct{ LocationConstraint string }
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16)) // a location is a few words
	if err == nil && len(body) > 0 {
		err = xml.Unmarshal(body, &in)
	}
	if err != nil {
		Refuse(w, r, http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed")
		return
	}
	r.Body = http.NoBody
	had := s.owner(name) != ""
	s.fake.ServeHTTP(w, r)
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	if made := s.backend.buckets[name]; made != nil && !had && in.LocationConstraint != "" {
		made.region = in.LocationConstraint
	}
}

// location says where a bucket is, which is nothing of those in the first region.
func (s *Server) location(w http.ResponseWriter, r *http.Request, name string) {
	if s.owner(name) == "" {
		Refuse(w, r, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
		return
	}
	region := s.backend.regionOf(name)
	if region == firstRegion {
		region = ""
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = fmt.Fprintf(w, "%s<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">%s</LocationConstraint>", xml.Header, region)
}
