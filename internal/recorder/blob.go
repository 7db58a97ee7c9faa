// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"os"
	"path/filepath"
)

// blobs stores contents in files named by their sha256, each once. Unfinished files are in another directory, so that
// the tree contains only complete ones at any time.
type blobs struct{ dir, unfinished string }

// blob is a file that is being written.
type blob struct {
	store blobs
	file  *os.File
	sum   hash.Hash
	size  int64
}

// create begins a blob. The caller calls commit or discard.
func (s blobs) create() (*blob, error) {
	for _, dir := range []string{s.dir, s.unfinished} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	f, err := os.CreateTemp(s.unfinished, "blob-")
	if err != nil {
		return nil, err
	}
	return &blob{store: s, file: f, sum: sha256.New()}, nil
}

// Write implements io.Writer.
func (b *blob) Write(p []byte) (int, error) {
	n, err := b.file.Write(p)
	b.sum.Write(p[:n])
	b.size += int64(n)
	return n, err
}

// commit stores the blob and returns its sha256, in hexadecimal.
func (b *blob) commit() (string, error) {
	sum := hex.EncodeToString(b.sum.Sum(nil))
	if err := b.file.Close(); err != nil {
		return "", errors.Join(err, os.Remove(b.file.Name()))
	}
	name := filepath.Join(b.store.dir, sum)
	if _, err := os.Lstat(name); err == nil {
		return sum, os.Remove(b.file.Name())
	}
	return sum, os.Rename(b.file.Name(), name)
}

// discard removes an unfinished blob.
func (b *blob) discard() { _ = errors.Join(b.file.Close(), os.Remove(b.file.Name())) }
