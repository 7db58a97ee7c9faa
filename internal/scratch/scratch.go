// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package scratch makes temporary directories, and removes those that killed processes of this plugin have left: they
// can hold secrets. Every temporary file and directory of the plugin is made here.
//
// A directory is named bakery-scratch-NUMBER and has the mode 0700. In it are a marker and the directory for the files.
// The process that uses it holds a lock on the marker, which the system releases when the process ends, however it
// ends. Whoever gets the lock has found what a dead process left. Age and process ids prove nothing. Where a file
// system has no locks, and on Windows, there is no marker, and what is left there stays.
//
// The package may not know what the files are for.
package scratch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	prefix     = "bakery-scratch-"
	filesName  = "files"
	markerName = "bakery.lock"
	newMarker  = markerName + ".new"
	// markerText is what a marker contains. A directory without exactly this is not ours.
	markerText = "Temporary files of packer-plugin-bakery. While a process uses them, it holds a lock on this file.\n" +
		"When none does, the next run of the plugin removes the directory.\n"
)

// Dir is a directory for temporary files.
type Dir struct {
	Path string // where the files go

	outer string
	lock  *os.File // nil where there are no locks
}

// New makes a directory in the system's directory for temporary files. The caller removes it.
func New() (*Dir, error) { return In(os.TempDir()) }

// String returns the directory as a whole, with its marker.
func (d *Dir) String() string { return d.outer }

// In makes a directory in another one, for files that are renamed there. It first removes what dead processes have left
// there.
func In(parent string) (*Dir, error) {
	Sweep(parent)
	outer, err := os.MkdirTemp(parent, prefix) // with mode 0700
	if err != nil {
		return nil, err
	}
	d := &Dir{Path: filepath.Join(outer, filesName), outer: outer}
	if err := errors.Join(d.mark(), os.Mkdir(d.Path, 0o700)); err != nil { //nolint:gosec // TMPDIR is the user's
		return nil, errors.Join(err, d.Remove())
	}
	return d, nil
}

// mark makes the marker. It gets its name when it is locked, so that no other process ever finds it unlocked.
func (d *Dir) mark() error {
	path := filepath.Join(d.outer, newMarker)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(markerText); err != nil {
		return errors.Join(err, f.Close())
	}
	if !tryLock(f) {
		return errors.Join(f.Close(), os.Remove(path))
	}
	d.lock = f
	return os.Rename(path, filepath.Join(d.outer, markerName))
}

// Remove removes the directory. The marker goes after the files: a process that is killed meanwhile leaves what the
// next one recognizes.
func (d *Dir) Remove() error {
	root, err := os.OpenRoot(d.outer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if err := empty(root); err != nil {
		return err
	}
	err = os.Remove(d.outer)
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

// empty removes what is in a directory of ours. It removes nothing where something is mounted.
func empty(root *os.Root) error {
	if at := mountedBelow(root.Name()); at != "" {
		return fmt.Errorf("%s is mounted in temporary files: unmount it, and remove %s", at, root.Name())
	}
	if root.RemoveAll(filesName) != nil {
		_ = makeWritable(root) // then there is an error below
		if err := root.RemoveAll(filesName); err != nil {
			return err
		}
	}
	return errors.Join(root.RemoveAll(newMarker), root.RemoveAll(markerName))
}

// makeWritable makes directories writable that their owner may not write to.
func makeWritable(root *os.Root) error {
	return fs.WalkDir(root.FS(), filesName, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = root.Chmod(path, 0o700)
		}
		return err
	})
}

// Sweep removes the directories in another one that dead processes of this user have left. What it cannot remove stays
// for the next sweep.
func Sweep(parent string) {
	dir, err := os.Open(parent) //nolint:gosec // as above
	if err != nil {
		return
	}
	defer dir.Close()
	const some = 1000
	for {
		names, err := dir.Readdirnames(some)
		for _, name := range names {
			if isName(name) {
				removeDead(filepath.Join(parent, name))
			}
		}
		if err != nil {
			return
		}
	}
}

// isName reports whether os.MkdirTemp can have made a name.
func isName(name string) bool {
	number, ok := strings.CutPrefix(name, prefix)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// removeDead removes a directory if it is ours and no process holds its lock. A link is never followed, and once
// opened, the directory is used by its handle and not by its name.
func removeDead(path string) {
	found, err := os.Lstat(path) //nolint:gosec // as above
	if err != nil || !found.IsDir() || !isPrivate(found, 0o700) {
		return
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return
	}
	defer root.Close()
	if opened, err := root.Lstat("."); err != nil || !os.SameFile(found, opened) {
		return
	}
	lock := lockMarker(root)
	if lock == nil {
		return
	}
	defer lock.Close()
	if empty(root) == nil {
		_ = os.Remove(path) //nolint:gosec // as above; only when it is empty
	}
}

// lockMarker returns the marker of a directory, locked, or nil when it is not ours or somebody uses it.
func lockMarker(root *os.Root) *os.File {
	found, err := root.Lstat(markerName)
	if err != nil || !found.Mode().IsRegular() || !isPrivate(found, 0o600) || found.Size() != int64(len(markerText)) {
		return nil
	}
	f, err := root.OpenFile(markerName, os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(len(markerText))))
	if err == nil && string(text) == markerText && tryLock(f) {
		// Another sweep may have removed it before the lock was taken.
		opened, err := f.Stat()
		still, lost := root.Lstat(markerName)
		if err == nil && lost == nil && os.SameFile(opened, still) {
			return f
		}
	}
	_ = f.Close()
	return nil
}

// File is a temporary file. It has no name where the system allows that, so that nothing is left of it however the
// process ends.
type File struct {
	*os.File

	dir *Dir
}

// NewFile makes a temporary file that only its owner can read.
func NewFile() (*File, error) {
	dir, err := New()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir.Path, "file"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	_ = dir.Remove() // Windows does this when it is closed
	return &File{f, dir}, nil
}

// Close closes and removes the file.
func (f *File) Close() error { return errors.Join(f.File.Close(), f.dir.Remove()) }
