// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
)

// The contents of a tree are similar to those of images: text and binaries of an application, and a part that is
// already compressed, as packages, pictures and models are.
const (
	textShare   = 0.4
	binaryShare = 0.4 // the rest is random
)

// mixedTree fills dir with size bytes of files. The texts are the sources of Go; the binaries are those of this
// computer. When they are not enough, they are repeated, too far apart for a compressor to find the repetition.
func mixedTree(dir string, size int64) error {
	text := int64(float64(size) * textShare)
	binary := int64(float64(size) * binaryShare)
	return errors.Join(
		fill(filepath.Join(dir, "usr/share/src"), text,
			filepath.Join(runtime.GOROOT(), "src")), //nolint:staticcheck // the sources of the Go that runs this
		fill(filepath.Join(dir, "usr/lib/app"), binary, "/usr/bin", "/usr/lib"),
		randomFiles(filepath.Join(dir, "var/lib/app"), size-text-binary),
	)
}

var errFull = errors.New("the tree is full")

// fill copies files from the directories in from, until size bytes are copied.
func fill(to string, size int64, from ...string) error {
	for round := 0; size > 0; round++ {
		before := size
		for _, source := range from {
			err := filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return nil //nolint:nilerr // files that this user may not read are left out
				}
				relative, err := filepath.Rel(source, path)
				if err != nil {
					return err
				}
				n, err := copyPart(path, filepath.Join(to, fmt.Sprint(round), filepath.Base(source), relative), size)
				if size -= n; err == nil && size <= 0 {
					return errFull
				}
				return err
			})
			if err != nil && !errors.Is(err, errFull) {
				return err
			}
		}
		if size == before {
			return fmt.Errorf("there are no files in %v to make a tree of", from)
		}
	}
	return nil
}

// copyPart copies up to limit bytes of a file.
func copyPart(from, to string, limit int64) (n int64, err error) {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrPermission) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return 0, err
	}
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return io.Copy(out, io.LimitReader(in, limit))
}

// randomFiles writes files of up to 64 MiB.
func randomFiles(dir string, size int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	source := rand.NewChaCha8([32]byte{})
	for i := 0; size > 0; i++ {
		n := min(size, 64<<20)
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%03d.bin", i)))
		if err != nil {
			return err
		}
		_, err = io.CopyN(f, source, n)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		size -= n
	}
	return nil
}
