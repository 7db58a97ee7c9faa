// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

const (
	regionHeader = "X-Amz-Bucket-Region"
	firstRegion  = "us-east-1" // of buckets that answer in every region
	foreignOwner = "999999999999"
)

// regionOf returns the region of a bucket; "" when it answers in every region.
func (b *Backend) regionOf(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if in := b.buckets[name]; in != nil {
		return in.region
	}
	return ""
}

// owner returns the account that a bucket belongs to; "" when there is no such bucket.
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

// checkBucket refuses a bucket of another owner than the request expects, and one in another region than the request
// was signed for: S3 answers such a request at the wrong region's endpoint.
func (s *Server) checkBucket(w http.ResponseWriter, r *http.Request, o operation) error {
	owner := s.owner(o.bucket)
	if want := r.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && want != "" && want != owner {
		return apierror.New("AccessDenied", "Access Denied")
	}
	region := s.backend.regionOf(o.bucket)
	if region == "" || o.name == "GetBucketLocation" { // which answers in every region
		return nil
	}
	if scope, err := sigv4.ReadScope(r); err != nil || scope.Region == region {
		return err
	}
	w.Header().Set(regionHeader, region)
	return apierror.New("PermanentRedirect", "The bucket you are attempting to access must be addressed using the "+
		"specified endpoint. Please send all future requests to this endpoint.")
}

// createBucket creates a bucket in the region that the request names; without one the bucket answers in every region.
func (s *Server) createBucket(w http.ResponseWriter, r *http.Request, name string) error {
	var in struct{ LocationConstraint string }
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16)) // a location is a few words
	if err == nil && len(body) > 0 {
		err = xml.Unmarshal(body, &in)
	}
	if err != nil {
		return apierror.New("MalformedXML", "The XML you provided was not well-formed")
	}
	r.Body = http.NoBody
	existed := s.owner(name) != ""
	s.fake.ServeHTTP(w, r)
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	if created := s.backend.buckets[name]; created != nil && !existed && in.LocationConstraint != "" {
		created.region = in.LocationConstraint
	}
	if created := s.backend.buckets[name]; created != nil && !existed &&
		strings.EqualFold(r.Header.Get("X-Amz-Bucket-Object-Lock-Enabled"), "true") {
		created.versioning, created.lock = versioningEnabled, &objectLock{}
	}
	return nil
}

// writeLocation answers with the region of a bucket, which is empty for the first region.
func (s *Server) writeLocation(w http.ResponseWriter, name string) error {
	if s.owner(name) == "" {
		return apierror.New("NoSuchBucket", "The specified bucket does not exist")
	}
	region := s.backend.regionOf(name)
	if region == firstRegion {
		region = ""
	}
	service.Write(w, http.StatusOK, contentType, fmt.Appendf(nil,
		"%s<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">%s</LocationConstraint>",
		xml.Header, region))
	return nil
}
