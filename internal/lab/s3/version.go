// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"cmp"
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rclone/gofakes3"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

// The states of the versioning of a bucket: https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html.
const (
	versioningEnabled   = "Enabled"
	versioningSuspended = "Suspended"
	nullVersion         = "null" // the id of what was stored without versioning
)

// idOf returns the id of a version as requests name it.
func idOf(o *object) string { return cmp.Or(o.version, nullVersion) }

// push makes room for a new version of a key, and gives it an id. The caller holds b.mu, and stores it.
func (b *Backend) push(in *bucket, key string, o *object) {
	old := in.objects[key]
	delete(in.objects, key)
	switch in.versioning {
	case "":
		if old != nil {
			_ = os.Remove(old.file) // those who read it have it open
		}
		return
	case versioningEnabled:
		b.files++
		o.version = strings.ToUpper(strconv.FormatInt(time.Now().UnixNano(), 36)) + "." + strconv.Itoa(b.files)
	}
	if old != nil {
		in.older[key] = append(in.older[key], old)
	}
	if o.version == "" { // there is only one without an id
		in.remove(key, nullVersion)
	}
}

// remove removes a version that is not current, and its file.
func (in *bucket) remove(key, id string) {
	in.older[key] = slices.DeleteFunc(in.older[key], func(o *object) bool {
		if idOf(o) != id {
			return false
		}
		_ = os.Remove(o.file)
		return true
	})
	if len(in.older[key]) == 0 {
		delete(in.older, key)
	}
}

// versions returns all versions of a key, the newest first.
func (in *bucket) versions(key string) []*object {
	all := slices.Clone(in.older[key])
	if o := in.objects[key]; o != nil {
		all = append(all, o)
	}
	slices.Reverse(all)
	return all
}

// errLocked is what S3 says of a version that its retention protects.
var errLocked = apierror.New("AccessDenied", "Access Denied because object protected by object lock.")

// deleteVersion deletes a version for ever. One that does not exist is not an error.
func (b *Backend) deleteVersion(name, key, id string, bypass bool) (wasMarker bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in, err := b.bucket(name)
	if err != nil {
		return false, err
	}
	all := in.versions(key)
	at := slices.IndexFunc(all, func(o *object) bool { return idOf(o) == id })
	if at < 0 {
		return false, nil
	}
	o := all[at]
	governed := in.lock != nil && in.lock.mode == "GOVERNANCE" && bypass
	if time.Now().Before(o.retainUntil) && !governed {
		return false, errLocked
	}
	if in.objects[key] == o {
		_ = os.Remove(o.file)
		delete(in.objects, key)
	} else {
		in.remove(key, id)
	}
	// Without the newest version, the one before it is current, unless it is a delete marker.
	if rest := in.older[key]; in.objects[key] == nil && len(rest) > 0 && !rest[len(rest)-1].marker {
		in.objects[key] = rest[len(rest)-1]
		if in.older[key] = rest[:len(rest)-1]; len(rest) == 1 {
			delete(in.older, key)
		}
	}
	return o.marker, nil
}

// serveDeleteVersion deletes a version of an object.
func (s *Server) serveDeleteVersion(w http.ResponseWriter, r *http.Request, o operation) error {
	bypass := strings.EqualFold(r.Header.Get("X-Amz-Bypass-Governance-Retention"), "true")
	wasMarker, err := s.backend.deleteVersion(o.bucket, o.key, o.version, bypass)
	if err != nil {
		return asAPIError(err)
	}
	if wasMarker {
		w.Header().Set("X-Amz-Delete-Marker", "true")
	}
	w.Header().Set("X-Amz-Version-Id", o.version)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// asAPIError returns an error of the backend in the form of this package.
func asAPIError(err error) error {
	if gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchBucket) {
		return apierror.New("NoSuchBucket", "The specified bucket does not exist")
	}
	return err
}

// deleteRequest is the body of DeleteObjects, and deleteResult its answer.
type deleteRequest struct {
	Quiet   bool
	Objects []objectID `xml:"Object"`
}

type objectID struct {
	Key     string
	Version string `xml:"VersionId,omitempty"`
}

type deleteResult struct {
	XMLName xml.Name        `xml:"http://s3.amazonaws.com/doc/2006-03-01/ DeleteResult"`
	Deleted []deletedObject `xml:"Deleted"`
	Errors  []deleteError   `xml:"Error"`
}

type deletedObject struct {
	Key           string
	Version       string `xml:"VersionId,omitempty"`
	Marker        bool   `xml:"DeleteMarker,omitempty"`
	MarkerVersion string `xml:"DeleteMarkerVersionId,omitempty"`
}

type deleteError struct{ Key, VersionId, Code, Message string } //nolint:revive,staticcheck // the names of S3

// serveDeleteObjects deletes objects and versions. It answers for each whether it was deleted.
func (s *Server) serveDeleteObjects(w http.ResponseWriter, r *http.Request, o operation, sender service.Sender) error {
	var in deleteRequest
	text, err := io.ReadAll(io.LimitReader(r.Body, maxDeleteBody))
	if err == nil {
		err = xml.Unmarshal(text, &in)
	}
	const most = 1000
	if err != nil || len(in.Objects) == 0 || len(in.Objects) > most {
		return apierror.New("MalformedXML",
			"The XML you provided was not well-formed or did not validate against our published schema")
	}
	var out deleteResult
	for _, one := range in.Objects {
		done, err := s.deleteOne(r, o.bucket, one, sender)
		if e, ok := asAPIError(err).(*apierror.Error); ok { //nolint:errorlint // it is not wrapped
			out.Errors = append(out.Errors, deleteError{one.Key, one.Version, e.Code, e.Message})
			continue
		}
		if err != nil {
			return err
		}
		if !in.Quiet {
			out.Deleted = append(out.Deleted, done)
		}
	}
	return writeXML(w, out)
}

// maxDeleteBody is more than 1000 keys of 1024 characters, and their versions.
const maxDeleteBody = 4 << 20

func (s *Server) deleteOne(
	r *http.Request, bucket string, one objectID, sender service.Sender,
) (done deletedObject, err error) {
	need := iam.Request{Action: "s3:DeleteObject", Resource: bucketARN(bucket) + "/" + one.Key}
	if one.Version != "" {
		need.Action = "s3:DeleteObjectVersion"
	}
	if !sender.Allowed(need) {
		return done, s3Errors.Denied(&service.DeniedError{Sender: sender.Principal, Need: need})
	}
	done = deletedObject{Key: one.Key, Version: one.Version}
	if one.Version != "" {
		done.Marker, err = s.backend.deleteVersion(bucket, one.Key, one.Version, false)
		return done, err
	}
	result, err := s.backend.DeleteObject(r.Context(), bucket, one.Key)
	done.Marker, done.MarkerVersion = result.IsDeleteMarker, string(result.VersionID)
	return done, err
}

// versionList is the answer to ListObjectVersions.
type versionList struct {
	XMLName   xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListVersionsResult"`
	Name      string
	Prefix    string
	MaxKeys   int
	Encoding  string `xml:"EncodingType,omitempty"`
	Truncated bool   `xml:"IsTruncated"`
	NextKey   string `xml:"NextKeyMarker,omitempty"`
	NextID    string `xml:"NextVersionIdMarker,omitempty"`
	Versions  []versionXML
	Markers   []markerXML
	Prefixes  []prefixXML `xml:"CommonPrefixes"`
}

type versionXML struct {
	XMLName  xml.Name `xml:"Version"`
	Key      string
	ID       string `xml:"VersionId"`
	Latest   bool   `xml:"IsLatest"`
	Modified string `xml:"LastModified"`
	ETag     string
	Size     int64
	Class    string `xml:"StorageClass"`
}

type markerXML struct {
	XMLName  xml.Name `xml:"DeleteMarker"`
	Key      string
	ID       string `xml:"VersionId"`
	Latest   bool   `xml:"IsLatest"`
	Modified string `xml:"LastModified"`
}

type prefixXML struct{ Prefix string }

// serveVersions lists the versions and the delete markers of a bucket, a page of them.
func (s *Server) serveVersions(w http.ResponseWriter, r *http.Request, name string) error {
	q := r.URL.Query()
	most, err := strconv.Atoi(cmp.Or(q.Get("max-keys"), "1000"))
	if err != nil || most < 0 {
		return apierror.New("InvalidArgument", "Argument max-keys must be an integer between 0 and 2147483647")
	}
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	in, err := s.backend.bucket(name)
	if err != nil {
		return asAPIError(err)
	}
	x := &versionList{Name: name, Prefix: q.Get("prefix"), MaxKeys: min(most, 1000)}
	keys := slices.Sorted(maps.Keys(in.objects))
	for key := range in.older {
		if in.objects[key] == nil {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	afterKey, afterID := q.Get("key-marker"), q.Get("version-id-marker")
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key, x.Prefix)
		if !ok || key < afterKey || key == afterKey && afterID == "" {
			continue
		}
		if folder, _, found := strings.Cut(rest, cmp.Or(q.Get("delimiter"), "\x00")); found {
			one := prefixXML{x.Prefix + folder + q.Get("delimiter")}
			if strings.HasPrefix(afterKey, one.Prefix) || slices.Contains(x.Prefixes, one) {
				continue
			}
			if x.isFull() {
				break
			}
			x.Prefixes, x.NextKey, x.NextID = append(x.Prefixes, one), one.Prefix, ""
			continue
		}
		if !x.add(key, in.versions(key), afterKey, afterID) {
			break
		}
	}
	if !x.Truncated {
		x.NextKey, x.NextID = "", ""
	}
	if x.Encoding = q.Get("encoding-type"); x.Encoding == "url" {
		x.encode()
	}
	return writeXML(w, x)
}

// encode encodes all keys, so that XML can have them.
func (x *versionList) encode() {
	texts := []*string{&x.Prefix, &x.NextKey}
	for i := range x.Versions {
		texts = append(texts, &x.Versions[i].Key)
	}
	for i := range x.Markers {
		texts = append(texts, &x.Markers[i].Key)
	}
	for i := range x.Prefixes {
		texts = append(texts, &x.Prefixes[i].Prefix)
	}
	for _, text := range texts {
		*text = gofakes3.URLEncode(*text)
	}
}

// isFull reports whether the page is full, and marks it as one that is followed by another.
func (x *versionList) isFull() bool {
	x.Truncated = len(x.Versions)+len(x.Markers)+len(x.Prefixes) >= x.MaxKeys
	return x.Truncated
}

// add adds the versions of a key that come after a marker. It returns false when the page is full.
func (x *versionList) add(key string, all []*object, afterKey, afterID string) bool {
	skip := key == afterKey
	for i, o := range all {
		if skip {
			skip = idOf(o) != afterID
			continue
		}
		if x.isFull() {
			return false
		}
		x.NextKey, x.NextID = key, idOf(o)
		if o.marker {
			x.Markers = append(x.Markers, markerXML{Key: key, ID: idOf(o), Latest: i == 0, Modified: stamp(o.modified)})
			continue
		}
		x.Versions = append(x.Versions, versionXML{Key: key, ID: idOf(o), Latest: i == 0, Modified: stamp(o.modified),
			ETag: o.etag(), Size: o.size, Class: "STANDARD"})
	}
	return true
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
