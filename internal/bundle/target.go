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
	"github.com/amibakery/packer-plugin-bakery/internal/scratch"
)

// targetWriter writes the files of a bundle to a temporary directory inside the target. When they are complete, it
// renames them, within the same file system.
type targetWriter struct {
	target string
	dir    *scratch.Dir
	made   bool     // the target did not exist
	names  []string // of files to rename, in this order
}

func newTargetWriter(target string) (*targetWriter, error) {
	_, err := os.Lstat(target)
	w := &targetWriter{target: target, made: errors.Is(err, fs.ErrNotExist)}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return nil, err
	}
	if w.dir, err = scratch.In(target); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *targetWriter) path(name string) string { return filepath.Join(w.dir.Path, name) }

// archive writes fs.tgz. The Path of the result is the one after commit.
func (w *targetWriter) archive(ctx context.Context, dir string) (File, error) {
	var summary archive.Summary
	err := w.create(FSName, func(out io.Writer) (err error) {
		summary, err = archive.Write(&contextWriter{ctx, out}, dir, nil)
		return err
	})
	return File{Path: filepath.Join(w.target, FSName), SHA256: summary.SHA256, Size: summary.Size}, err
}

func (w *targetWriter) add(name string, content []byte) (File, error) {
	err := w.create(name, func(out io.Writer) error {
		_, err := out.Write(content)
		return err
	})
	sum := sha256.Sum256(content)
	return File{filepath.Join(w.target, name), hex.EncodeToString(sum[:]), int64(len(content))}, err
}

func (w *targetWriter) create(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(w.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w.names = append(w.names, name)
	buffered := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(write(buffered), buffered.Flush(), f.Close(),
		os.Chmod(w.path(name), 0o644)) // whatever the umask
}

// drop removes the file that was written last, which is not needed.
func (w *targetWriter) drop(name string) {
	w.names = w.names[:len(w.names)-1]
	_ = os.Remove(w.path(name)) // on failure, discard removes it
}

// commit replaces the bundle in the target. It removes the old vars.env first and writes the new one last, so that an
// interrupted commit leaves no directory that Read accepts.
func (w *targetWriter) commit() error {
	for _, stale := range []string{VarsName, FSName} {
		if err := os.Remove(filepath.Join(w.target, stale)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range w.names {
		if err := os.Rename(w.path(name), filepath.Join(w.target, name)); err != nil {
			return err
		}
	}
	w.made = false
	return nil
}

// discard removes the temporary directory, and the target when commit has not filled it.
func (w *targetWriter) discard() error {
	err := w.dir.Remove()
	if w.made {
		_ = os.Remove(w.target) // fails when it contains files of others
	}
	return err
}

// contextWriter fails when its context ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (u *contextWriter) Write(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.w.Write(p)
}
