// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // an ETag is an MD5
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rclone/gofakes3"
)

// upload is an unfinished multipart upload. Each part is a file.
type upload struct {
	bucket, key string
	created     time.Time
	meta        map[string]string
	parts       map[int]part
}

type part struct {
	file string
	size int64
	hash []byte
}

func (p part) etag() string { return fmt.Sprintf("\"%x\"", p.hash) }

// CreateMultipartUpload implements gofakes3.MultipartBackend, as do the methods below it.
func (b *Backend) CreateMultipartUpload(_ context.Context, bucket, key string,
	meta map[string]string) (gofakes3.UploadID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files++
	id := gofakes3.UploadID("lab-" + strconv.Itoa(b.files) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36))
	b.uploads[id] = &upload{bucket, key, time.Now().UTC(), meta, map[int]part{}}
	return id, nil
}

// UploadPart streams a part to its file.
func (b *Backend) UploadPart(_ context.Context, _, _ string, id gofakes3.UploadID, number int, size int64,
	body io.Reader) (string, error) {
	p := part{file: b.newFile(), size: size}
	var err error
	if p.hash, err = store(p.file, body, size, nil); err != nil {
		return "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.uploads[id]
	if u == nil {
		_ = os.Remove(p.file)
		return "", gofakes3.ErrNoSuchUpload
	}
	if old, again := u.parts[number]; again {
		_ = os.Remove(old.file)
	}
	u.parts[number] = p
	return p.etag(), nil
}

// CompleteMultipartUpload creates the object from the parts.
func (b *Backend) CompleteMultipartUpload(_ context.Context, bucket, key string, id gofakes3.UploadID,
	in *gofakes3.CompleteMultipartUploadRequest) (gofakes3.VersionID, string, error) {
	u, parts, err := b.completedParts(id, in)
	if err != nil {
		return "", "", err
	}
	o := &object{file: b.newFile(), parts: len(parts), metadata: storedMetadata(u.meta), modified: time.Now().UTC()}
	sum := md5.New() //nolint:gosec // see the import
	for _, p := range parts {
		sum.Write(p.hash)
		o.size += p.size
	}
	o.hash = sum.Sum(nil)
	if err := concatenate(o.file, parts); err != nil {
		return "", "", err
	}
	version, err := b.put(bucket, key, o)
	if err != nil {
		return "", "", err
	}
	return version, o.etag(), b.AbortMultipartUpload(context.Background(), bucket, key, id)
}

// completedParts returns the parts that the request names. They must be in order, and have the ETags of their uploads.
func (b *Backend) completedParts(id gofakes3.UploadID, in *gofakes3.CompleteMultipartUploadRequest) (*upload, []part,
	error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.uploads[id]
	if u == nil {
		return nil, nil, gofakes3.ErrNoSuchUpload
	}
	if !slices.IsSortedFunc(in.Parts, func(a, b gofakes3.CompletedPart) int { return a.PartNumber - b.PartNumber }) {
		return nil, nil, gofakes3.ErrInvalidPartOrder
	}
	var parts []part
	for _, want := range in.Parts {
		p, ok := u.parts[want.PartNumber]
		if !ok || strings.Trim(want.ETag, "\"") != strings.Trim(p.etag(), "\"") {
			return nil, nil, gofakes3.ErrInvalidPart
		}
		parts = append(parts, p)
	}
	if len(parts) == 0 {
		return nil, nil, gofakes3.ErrMalformedXML
	}
	return u, parts, nil
}

// concatenate copies the parts one after another.
func concatenate(file string, parts []part) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("put an upload's parts together: %w", err)
	}
	for _, p := range parts {
		if err == nil {
			err = appendFile(f, p.file)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(file)
		return fmt.Errorf("put an upload's parts together: %w", err)
	}
	return nil
}

func appendFile(to *os.File, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(to, f)
	return err
}

// AbortMultipartUpload removes an upload and its parts.
func (b *Backend) AbortMultipartUpload(_ context.Context, _, _ string, id gofakes3.UploadID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u := b.uploads[id]; u != nil {
		for _, p := range u.parts {
			_ = os.Remove(p.file)
		}
		delete(b.uploads, id)
	}
	return nil
}
