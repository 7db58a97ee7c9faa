// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package wholefile writes files that a user has named: whole, or not at all. The content is written beside the file,
// and takes its place with a rename. So a failure leaves an earlier file as it was, and of two processes that write one
// file, one wins.
//
// Links are followed. In a directory that everybody can write to, nothing of another user's is: they could have a file
// of the user's overwritten, or read what is written. What cannot be replaced without changing what it is (a device or
// pipe such as /dev/stdout, a file with several names or of another owner, a file mounted by itself) is written in
// place, at the commit.
package wholefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/scratch"
)

// Mode says who may read a file.
type Mode int

const (
	// Shared gives a file the mode of the one it replaces, else that of any new file.
	Shared Mode = iota
	// Private lets only the owner read a file.
	Private
)

const (
	newMode     fs.FileMode = 0o644
	privateMode fs.FileMode = 0o600
)

// Staged is a file that is written but not yet in its place.
type Staged struct {
	path  string // where links lead to
	mode  Mode
	write func(io.Writer) error

	dir  *scratch.Dir // nil when it is written in place
	temp string       // the whole content
}

// Check returns why a path cannot be written, as far as that can be known. It leaves nothing.
func Check(path string) error {
	if info, err := os.Lstat(path); err == nil {
		if err := checkOwner(path, info); err != nil {
			return err
		}
	}
	info, err := os.Stat(path)
	switch {
	case endsInSeparator(path):
		return fmt.Errorf("%s is a directory: name a file", path)
	case errors.Is(err, fs.ErrNotExist):
		return checkNew(path)
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory: name a file", path)
	case info.Mode()&fs.ModeNamedPipe != 0: // opening it waits for its reader
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// isShared reports whether everybody can make files beside a file.
func isShared(path string) bool {
	const everybody = 0o002
	info, err := os.Stat(filepath.Dir(path))
	return err == nil && info.Mode().Perm()&everybody != 0
}

// checkOwner refuses a file or a link that another user has put into a directory that everybody can write to.
func checkOwner(path string, info fs.FileInfo) error {
	if isShared(path) && isOfAnotherUser(info) {
		return fmt.Errorf("%s belongs to another user, in a directory that everybody can write to: name another file",
			path)
	}
	return nil
}

func endsInSeparator(path string) bool {
	return path == "" || os.IsPathSeparator(path[len(path)-1])
}

// checkNew checks that a file can be made.
func checkNew(path string) error {
	to, _, err := follow(path)
	if err != nil {
		return err
	}
	parent := filepath.Dir(to)
	info, err := os.Stat(parent)
	if err != nil {
		return fmt.Errorf("make its directory first: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", parent)
	}
	dir, err := scratch.In(parent)
	if err != nil {
		return err
	}
	return dir.Remove()
}

// Stage writes a file beside its place. The caller calls Commit or Discard. What is written in place is written by
// Commit.
func Stage(path string, mode Mode, write func(io.Writer) error) (*Staged, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	to, inPlace, err := follow(path)
	if err != nil {
		return nil, err
	}
	s := &Staged{path: to, mode: mode, write: write}
	before, err := os.Lstat(to)
	exists := err == nil
	if exists {
		if err := checkOwner(to, before); err != nil {
			return nil, err
		}
	}
	if inPlace || exists && !(before.Mode().IsRegular() && hasOneName(before)) {
		s.path = path
		return s, nil
	}
	if s.dir, err = scratch.In(filepath.Dir(to)); err != nil {
		s.dir = nil
		if exists { // and can be written, but nothing can be made beside it
			return s, nil
		}
		return nil, err
	}
	if !exists {
		before = nil
	}
	if err := s.fill(before); err != nil {
		return nil, errors.Join(err, s.Discard())
	}
	return s, nil
}

// Write writes a file.
func Write(path string, mode Mode, write func(io.Writer) error) error {
	s, err := Stage(path, mode, write)
	if err != nil {
		return err
	}
	return errors.Join(s.Commit(), s.Discard())
}

// follow returns where a path leads to, which need not exist. It reports whether that has to be written in place: a
// link of /proc leads to what a process has open.
func follow(path string) (to string, inPlace bool, err error) {
	const most = 40 // links, as Linux has it
	for range most {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", false, fmt.Errorf("make its directory first: %w", err)
		}
		path = filepath.Join(dir, filepath.Base(path))
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 { // or it is not there
			return path, false, nil //nolint:nilerr // as the comment says
		}
		if err := checkOwner(path, info); err != nil {
			return "", false, err
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", false, err
		}
		if strings.HasPrefix(path, "/proc/") {
			return path, true, nil
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return "", false, fmt.Errorf("%s: too many links", path)
}

// fill writes the content, with the owner and the mode of the file it replaces. A file that cannot have its owner is
// written in place.
func (s *Staged) fill(before fs.FileInfo) error {
	s.temp = filepath.Join(s.dir.Path, filepath.Base(s.path))
	mode := newMode
	if s.mode == Private {
		mode = privateMode
	}
	f, err := os.OpenFile(s.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	err = s.write(f)
	if before != nil && err == nil {
		if keepOwner(f, before) != nil {
			_ = f.Close()
			dir := s.dir
			s.dir = nil
			return dir.Remove()
		}
		if s.mode == Shared {
			_ = f.Chmod(before.Mode().Perm()) // Windows knows no such thing
		}
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Commit puts the file in its place.
func (s *Staged) Commit() error {
	if s.dir == nil {
		return s.writeInPlace(s.write)
	}
	err := os.Rename(s.temp, s.path)
	if info, lost := os.Lstat(s.path); err != nil && lost == nil && info.Mode().IsRegular() {
		// It is mounted by itself, as in a container.
		return s.writeInPlace(func(w io.Writer) error {
			from, err := os.Open(s.temp)
			if err != nil {
				return err
			}
			defer from.Close()
			_, err = io.Copy(w, from)
			return err
		})
	}
	return err
}

// Discard removes what was written beside the file.
func (s *Staged) Discard() error {
	if s.dir == nil {
		return nil
	}
	return s.dir.Remove()
}

// readerTimeout is how long a pipe may have no reader, or one that takes nothing. It must not keep a bake from cleaning
// up.
const readerTimeout = 10 * time.Second

// openInPlace opens a file to write into it as it is. It waits for the reader of a pipe.
func openInPlace(path string) (*os.File, error) {
	for end := time.Now().Add(readerTimeout); ; time.Sleep(pause) {
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if !errors.Is(err, syscall.ENXIO) {
			return f, err
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("%s is a pipe that nobody reads: name a file: %w", path, err)
		}
	}
}

// pause is the time between two attempts, while another process has not opened the pipe or still holds the lock.
const pause = 50 * time.Millisecond

// deadlineWriter writes into a file that may be a pipe.
type deadlineWriter struct{ file *os.File }

func (w deadlineWriter) Write(p []byte) (int, error) {
	_ = w.file.SetWriteDeadline(time.Now().Add(readerTimeout)) // a file has none
	n, err := w.file.Write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("its reader has taken nothing for %s: %w", readerTimeout, err)
	}
	return n, err
}

// writeInPlace writes what is there, one process after the other where it has locks.
func (s *Staged) writeInPlace(write func(io.Writer) error) error {
	f, err := openInPlace(s.path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		lock(f)
		if s.mode == Private {
			_ = f.Chmod(privateMode) // of another owner's file, that is the owner's business
		}
		err = f.Truncate(0)
	}
	if err == nil {
		err = write(deadlineWriter{f})
	}
	return errors.Join(err, f.Close())
}
