// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package s3 is the lab's S3. Package rclone/gofakes3 implements the protocol. Objects are files, so that those of any
// size need no memory. The package may not know signatures or policies; the caller checks both.
package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // an ETag is an MD5
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rclone/gofakes3"
)

// Backend stores the content of objects in files of a directory, and all else in memory, so that it ends with the
// process. It implements gofakes3.Backend and gofakes3.MultipartBackend.
type Backend struct {
	dir string

	mu      sync.Mutex
	buckets map[string]*bucket
	uploads map[gofakes3.UploadID]*upload
	files   int
}

type bucket struct {
	created time.Time
	region  string // "": it answers in every region
	foreign bool   // it belongs to another account, and everybody may use it
	objects map[string]*object

	versioning string               // "": never enabled; else Enabled or Suspended
	older      map[string][]*object // versions that are not current, and delete markers, the newest last
	lock       *objectLock          // nil: without Object Lock
	settings   map[string][]byte    // lifecycle and policy, as they were set
}

// object is never changed after it was put into a bucket.
type object struct {
	file     string
	size     int64
	hash     []byte // MD5, or MD5 of the parts' MD5s
	parts    int    // of a multipart upload, else 0
	metadata map[string]string
	modified time.Time

	version     string // "": null
	marker      bool   // it is a delete marker, without content
	retainUntil time.Time
}

// etag returns the ETag with its quotes.
func (o *object) etag() string {
	if o.parts > 0 {
		return fmt.Sprintf("\"%x-%d\"", o.hash, o.parts)
	}
	return fmt.Sprintf("%q", hex.EncodeToString(o.hash))
}

// NewBackend returns a backend with its files in dir, which must be empty.
func NewBackend(dir string) (*Backend, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the lab's S3: %w", err)
	}
	return &Backend{dir: dir, buckets: map[string]*bucket{}, uploads: map[gofakes3.UploadID]*upload{}}, nil
}

// newFile returns a path that has not been used yet.
func (b *Backend) newFile() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files++
	return filepath.Join(b.dir, strconv.Itoa(b.files))
}

// ListBuckets implements gofakes3.Backend, as do the methods below it.
func (b *Backend) ListBuckets(context.Context) ([]gofakes3.BucketInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []gofakes3.BucketInfo
	for _, name := range slices.Sorted(maps.Keys(b.buckets)) {
		if b.buckets[name].foreign {
			continue
		}
		all = append(all, gofakes3.BucketInfo{Name: name,
			CreationDate: gofakes3.NewContentTime(b.buckets[name].created)})
	}
	return all, nil
}

// ListBucket lists a page of keys in order.
func (b *Backend) ListBucket(_ context.Context, name string, prefix *gofakes3.Prefix,
	page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in, err := b.bucket(name)
	if err != nil {
		return nil, err
	}
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	list := gofakes3.NewObjectList()
	var match gofakes3.PrefixMatch
	var count int64
	last := ""
	for _, key := range slices.Sorted(maps.Keys(in.objects)) {
		if page.Marker != "" && key <= page.Marker || !prefix.Match(key, &match) || match.CommonPrefix &&
			match.MatchedPart == last {
			continue
		}
		if page.MaxKeys > 0 && count >= page.MaxKeys {
			list.IsTruncated = true
			break
		}
		count++
		list.NextMarker = key
		if match.CommonPrefix {
			last = match.MatchedPart
			list.AddPrefix(last)
			list.NextMarker = last + "\xff" // after all keys with this prefix
			continue
		}
		o := in.objects[key]
		list.Add(&gofakes3.Content{Key: key, LastModified: gofakes3.NewContentTime(o.modified), ETag: o.etag(),
			Size: o.size, StorageClass: gofakes3.StorageStandard})
	}
	if !list.IsTruncated {
		list.NextMarker = ""
	}
	return list, nil
}

// CreateBucket creates an empty bucket.
func (b *Backend) CreateBucket(_ context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buckets[name] != nil {
		return gofakes3.ResourceError(gofakes3.ErrBucketAlreadyExists, name)
	}
	b.buckets[name] = &bucket{created: time.Now().UTC(), objects: map[string]*object{},
		older: map[string][]*object{}, settings: map[string][]byte{}}
	return nil
}

// BucketExists reports whether a bucket exists.
func (b *Backend) BucketExists(_ context.Context, name string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buckets[name] != nil, nil
}

// DeleteBucket deletes an empty bucket.
func (b *Backend) DeleteBucket(_ context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	in, err := b.bucket(name)
	if err != nil {
		return err
	}
	if len(in.objects) > 0 || len(in.older) > 0 {
		return gofakes3.ResourceError(gofakes3.ErrBucketNotEmpty, name)
	}
	delete(b.buckets, name)
	return nil
}

// bucket returns a bucket. The caller holds b.mu.
func (b *Backend) bucket(name string) (*bucket, error) {
	if in := b.buckets[name]; in != nil {
		return in, nil
	}
	return nil, gofakes3.BucketNotFound(name)
}

func (b *Backend) object(bucket, key string) (*object, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in, err := b.bucket(bucket)
	if err != nil {
		return nil, err
	}
	if o := in.objects[key]; o != nil {
		return o, nil
	}
	return nil, gofakes3.KeyNotFound(key)
}

// partsHeader marks the ETag of a multipart upload for headerFixer, because gofakes3 does not support it. Clients do
// not get this header.
const partsHeader = "X-Lab-Parts"

func (o *object) describe(key string) *gofakes3.Object {
	metadata := maps.Clone(o.metadata)
	if o.parts > 0 {
		metadata[partsHeader] = strconv.Itoa(o.parts)
	}
	return &gofakes3.Object{Name: key, Metadata: metadata, Size: o.size, Hash: o.hash, Contents: http.NoBody}
}

// HeadObject returns an object without its content.
func (b *Backend) HeadObject(_ context.Context, bucket, key string) (*gofakes3.Object, error) {
	o, err := b.object(bucket, key)
	if err != nil {
		return nil, err
	}
	return o.describe(key), nil
}

// GetObject opens an object, or a range of it.
func (b *Backend) GetObject(_ context.Context, bucket, key string,
	request *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	o, err := b.object(bucket, key)
	if err != nil {
		return nil, err
	}
	found := o.describe(key)
	if found.Range, err = request.Range(o.size); err != nil {
		return nil, err
	}
	f, err := os.Open(o.file)
	if err != nil {
		return nil, fmt.Errorf("open an object of the lab's S3: %w", err)
	}
	start, length := int64(0), o.size
	if found.Range != nil {
		start, length = found.Range.Start, found.Range.Length
	}
	found.Contents = struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, start, length), f}
	return found, nil
}

// PutObject streams an object to its file and verifies the checksums of the request.
func (b *Backend) PutObject(_ context.Context, bucket, key string, meta map[string]string, input io.Reader,
	size int64) (gofakes3.PutObjectResult, error) {
	var none gofakes3.PutObjectResult
	o := &object{file: b.newFile(), size: size, metadata: storedMetadata(meta), modified: time.Now().UTC()}
	var err error
	if o.hash, err = store(o.file, input, size, meta); err != nil {
		return none, err
	}
	version, err := b.put(bucket, key, o)
	return gofakes3.PutObjectResult{VersionID: version}, err
}

// store writes exactly size bytes and returns their MD5. When it fails, it removes the file.
func store(file string, input io.Reader, size int64, meta map[string]string) ([]byte, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("store an object in the lab's S3: %w", err)
	}
	sum, checks := md5.New(), checksums(meta) //nolint:gosec // see the import
	n, err := io.Copy(io.MultiWriter(append(checks.writers(), f, sum)...), input)
	err = errors.Join(err, f.Close())
	switch {
	case err == nil && n != size:
		err = gofakes3.ErrIncompleteBody
	case err == nil:
		err = checks.verify()
	}
	if err != nil {
		_ = os.Remove(file)
		return nil, unwrapJoined(err)
	}
	return sum.Sum(nil), nil
}

// unwrapJoined returns the error of gofakes3 inside of a joined one, because gofakes3 does not unwrap errors.
func unwrapJoined(err error) error {
	if refused, ok := errors.AsType[gofakes3.Error](err); ok {
		return refused
	}
	return err
}

// put makes an object the current version of its key, and returns its version.
func (b *Backend) put(bucket, key string, o *object) (gofakes3.VersionID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in, err := b.bucket(bucket)
	if err != nil {
		_ = os.Remove(o.file)
		return "", err
	}
	if in.lock != nil && in.lock.days > 0 {
		o.retainUntil = o.modified.AddDate(0, 0, in.lock.days)
	}
	b.push(in, key, o)
	in.objects[key] = o
	return gofakes3.VersionID(o.version), nil
}

func (b *Backend) overwrite(bucket, name, content string) error {
	for _, key := range b.keys(bucket) {
		if !strings.HasSuffix(key, name) {
			continue
		}
		o := &object{file: b.newFile(), size: int64(len(content)), modified: time.Now().UTC()}
		var err error
		if o.hash, err = store(o.file, strings.NewReader(content), o.size, nil); err != nil {
			return err
		}
		b.replace(bucket, key, o)
	}
	return nil
}

// replace replaces an object, unless it is gone.
func (b *Backend) replace(bucket, key string, o *object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.buckets[bucket].objects[key]; old != nil {
		_ = os.Remove(old.file) // those who read it have it open
		b.buckets[bucket].objects[key] = o
		return
	}
	_ = os.Remove(o.file)
}

func (b *Backend) keys(bucket string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buckets[bucket] == nil {
		return nil
	}
	return slices.Collect(maps.Keys(b.buckets[bucket].objects))
}

// CopyObject adds an object with the same file.
func (b *Backend) CopyObject(_ context.Context, fromBucket, fromKey, toBucket, toKey string,
	meta map[string]string) (gofakes3.CopyObjectResult, error) {
	var none gofakes3.CopyObjectResult
	from, err := b.object(fromBucket, fromKey)
	if err != nil {
		return none, err
	}
	o := *from
	o.file, o.modified = b.newFile(), time.Now().UTC()
	if strings.EqualFold(meta["X-Amz-Metadata-Directive"], "REPLACE") {
		o.metadata = storedMetadata(meta)
	}
	if err := os.Link(from.file, o.file); err != nil {
		return none, fmt.Errorf("copy an object of the lab's S3: %w", err)
	}
	o.version, o.retainUntil = "", time.Time{}
	_, err = b.put(toBucket, toKey, &o)
	return gofakes3.CopyObjectResult{ETag: o.etag(), LastModified: gofakes3.NewContentTime(o.modified)}, err
}

// DeleteObject deletes an object, or hides it with a delete marker. One that does not exist is not an error.
func (b *Backend) DeleteObject(_ context.Context, bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in, err := b.bucket(bucket)
	if err != nil {
		return gofakes3.ObjectDeleteResult{}, err
	}
	if in.versioning == "" {
		if o := in.objects[key]; o != nil {
			_ = os.Remove(o.file)
			delete(in.objects, key)
		}
		return gofakes3.ObjectDeleteResult{}, nil
	}
	marker := &object{marker: true, modified: time.Now().UTC()}
	b.push(in, key, marker)
	in.older[key] = append(in.older[key], marker)
	return gofakes3.ObjectDeleteResult{IsDeleteMarker: true, VersionID: gofakes3.VersionID(idOf(marker))}, nil
}

// DeleteMulti deletes several objects.
func (b *Backend) DeleteMulti(ctx context.Context, bucket string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	var result gofakes3.MultiDeleteResult
	for _, key := range keys {
		if _, err := b.DeleteObject(ctx, bucket, key); err != nil {
			return result, err
		}
		result.Deleted = append(result.Deleted, gofakes3.ObjectID{Key: key})
	}
	return result, nil
}

// storedMetadata returns the metadata that S3 stores: the user's, the checksums, and the headers about the content.
func storedMetadata(meta map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range meta {
		switch {
		case strings.HasPrefix(name, "X-Amz-Meta-"), isChecksum(name),
			strings.HasPrefix(name, "X-Amz-Server-Side-Encryption"), name == taggingHeader,
			slices.Contains([]string{"Content-Type", "Content-Disposition", "Content-Language", "Cache-Control",
				"Last-Modified"}, name):
			out[name] = value
		case name == "Content-Encoding":
			// aws-chunked is an encoding of the request, not of the object.
			if v := strings.Trim(strings.ReplaceAll(value, "aws-chunked", ""), ", "); v != "" {
				out[name] = v
			}
		}
	}
	if out["Content-Type"] == "" {
		out["Content-Type"] = "binary/octet-stream"
	}
	return out
}
