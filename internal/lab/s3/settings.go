// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"encoding/xml"
	"io"
	"net/http"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

// objectLock is the Object Lock of a bucket: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html.
type objectLock struct {
	mode string // GOVERNANCE or COMPLIANCE; "" without a default retention
	days int
}

type lockXML struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ObjectLockConfiguration"`
	Enabled string   `xml:"ObjectLockEnabled"`
	Rule    *lockRule
}

type lockRule struct {
	Default struct {
		Mode  string
		Days  int `xml:",omitempty"`
		Years int `xml:",omitempty"`
	} `xml:"DefaultRetention"`
}

type versioningXML struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ VersioningConfiguration"`
	Status  string   `xml:",omitempty"`
}

// isSetting reports whether an operation is one on a setting of a bucket.
func (o operation) isSetting() bool {
	for _, operations := range settingsOfBuckets {
		if o.name == operations[0] || o.name == operations[1] {
			return true
		}
	}
	return o.name == "DeleteBucketPolicy" || o.name == "DeleteBucketLifecycle"
}

// serveSetting reads or changes a setting of a bucket. Lifecycle and policy are stored, and have no effect.
func (s *Server) serveSetting(w http.ResponseWriter, r *http.Request, o operation) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // the largest is a policy, of 20 KB
	if err != nil {
		return err
	}
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	in, err := s.backend.bucket(o.bucket)
	if err != nil {
		return asAPIError(err)
	}
	switch o.name {
	case "GetBucketVersioning":
		return writeXML(w, versioningXML{Status: in.versioning})
	case "PutBucketVersioning":
		return in.setVersioning(body)
	case "GetObjectLockConfiguration":
		return in.writeLock(w)
	case "PutObjectLockConfiguration":
		return in.setLock(body)
	}
	return in.serveDocument(w, o.name, body)
}

func malformed() error {
	return apierror.New("MalformedXML",
		"The XML you provided was not well-formed or did not validate against our published schema")
}

func (in *bucket) setVersioning(body []byte) error {
	var x struct{ Status string }
	if err := xml.Unmarshal(body, &x); err != nil || x.Status != versioningEnabled && x.Status != versioningSuspended {
		return malformed()
	}
	if in.lock != nil && x.Status == versioningSuspended {
		return apierror.New("InvalidBucketState", "An Object Lock configuration is present on this bucket, so the "+
			"versioning state cannot be changed.")
	}
	in.versioning = x.Status
	return nil
}

func (in *bucket) writeLock(w http.ResponseWriter) error {
	if in.lock == nil {
		return apierror.New("ObjectLockConfigurationNotFoundError",
			"Object Lock configuration does not exist for this bucket")
	}
	x := lockXML{Enabled: versioningEnabled}
	if in.lock.days > 0 {
		x.Rule = &lockRule{}
		x.Rule.Default.Mode, x.Rule.Default.Days = in.lock.mode, in.lock.days
	}
	return writeXML(w, x)
}

func (in *bucket) setLock(body []byte) error {
	var x struct {
		ObjectLockEnabled string
		Rule              *lockRule
	}
	if err := xml.Unmarshal(body, &x); err != nil || x.ObjectLockEnabled != versioningEnabled {
		return malformed()
	}
	if in.versioning != versioningEnabled {
		return apierror.New("InvalidBucketState", "Versioning must be 'Enabled' on the bucket to apply a Object Lock "+
			"configuration")
	}
	lock := &objectLock{}
	if x.Rule != nil {
		const daysOfYear = 365
		d := x.Rule.Default
		lock.mode, lock.days = d.Mode, d.Days+d.Years*daysOfYear
		if lock.days <= 0 || lock.mode != "GOVERNANCE" && lock.mode != "COMPLIANCE" {
			return malformed()
		}
	}
	in.lock = lock
	return nil
}

// serveDocument reads, sets or deletes the lifecycle or the policy.
func (in *bucket) serveDocument(w http.ResponseWriter, operation string, body []byte) error {
	name, kind := "policy", "application/json"
	missing := apierror.New("NoSuchBucketPolicy", "The bucket policy does not exist")
	if strings.Contains(operation, "Lifecycle") {
		name, kind = "lifecycle", contentType
		missing = apierror.New("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
	}
	switch {
	case strings.HasPrefix(operation, "Put"):
		in.settings[name] = body
		if name == "policy" {
			w.WriteHeader(http.StatusNoContent)
		}
		return nil
	case strings.HasPrefix(operation, "Delete"):
		delete(in.settings, name)
		w.WriteHeader(http.StatusNoContent)
		return nil
	case in.settings[name] == nil:
		return missing
	}
	service.Write(w, http.StatusOK, kind, in.settings[name])
	return nil
}

// checkLocked refuses an upload without a checksum to a bucket that protects each object from its beginning.
func (s *Server) checkLocked(r *http.Request, o operation) error {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	in := s.backend.buckets[o.bucket]
	isUpload := o.name == "PutObject" || o.name == "UploadPart"
	if in == nil || in.lock == nil || in.lock.days == 0 || !isUpload {
		return nil
	}
	for name := range r.Header {
		if name == "Content-Md5" || name == "X-Amz-Trailer" || strings.HasPrefix(name, "X-Amz-Checksum-") {
			return nil
		}
	}
	what := "Put Object"
	if o.name == "UploadPart" {
		what = "Put Part"
	}
	return apierror.New("InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for "+what+
		" requests with Object Lock parameters")
}
