// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/amibakery/packer-plugin-bakery/internal/archive"
)

// staging holds the files of a bundle, in a directory inside the target, until all of them are there: a rename within
// one file system is all that is left to do then.
type staging struct {
	target string
	dir    string
	made   bool     // the target was not there
	names  []string // of files to put in their place, in this order
}

func newStaging(target string) (*staging, error) {
	_, err := os.Lstat(target)
	s := &staging{target: target, made: errors.Is(err, fs.ErrNotExist)}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp(target, ".bakery-"); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *staging) path(name string) string { return filepath.Join(s.dir, name) }

// archive writes fs.tgz, whose Path is where it is going to be.
func (s *staging) archive(ctx context.Context, dir string) (File, error) {
	var summary archive.Summary
	err := s.create(FSName, func(w io.Writer) (err error) {
		summary, err = archive.Write(&until{ctx, w}, dir, nil)
		return err
	})
	return File{Path: filepath.Join(s.target, FSName), SHA256: summary.SHA256, Size: summary.Size}, err
}

func (s *staging) add(name string, content []byte) (File, error) {
	err := s.create(name, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	sum := sha256.Sum256(content)
	return File{filepath.Join(s.target, name), hex.EncodeToString(sum[:]), int64(len(content))}, err
}

func (s *staging) create(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(s.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	s.names = append(s.names, name)
	buffered := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(write(buffered), buffered.Flush(), f.Close(), os.Chmod(s.path(name), 0o644)) // whatever the umask
}

// drop forgets a file that is not needed after all.
func (s *staging) drop(name string) {
	s.names = s.names[:len(s.names)-1]
	_ = os.Remove(s.path(name)) // or discard does
}

// commit replaces the bundle. The old vars.env goes first and the new one comes last: whatever happens in between,
// the directory does not pass for a whole bundle.
func (s *staging) commit() error {
	for _, stale := range []string{VarsName, FSName} {
		if err := os.Remove(filepath.Join(s.target, stale)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range s.names {
		if err := os.Rename(s.path(name), filepath.Join(s.target, name)); err != nil {
			return err
		}
	}
	s.made = false
	return nil
}

// discard removes what was not put in its place.
func (s *staging) discard() error {
	err := os.RemoveAll(s.dir)
	if s.made {
		_ = os.Remove(s.target) // unless somebody else has put something there
	}
	return err
}

// until ends a long write with its context.
type until struct {
	ctx context.Context
	w   io.Writer
}

func (u *until) Write(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.w.Write(p)
}
