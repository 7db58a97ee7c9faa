// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package inputfile opens files that a user names or has put into a folder, so that whatever is there neither hangs the
// plugin nor takes all memory: a pipe without a writer, a device, a file of a terabyte.
//
// It may not know what a file is for.
package inputfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// A KindError is returned for what is not a regular file.
type KindError struct{ Mode fs.FileMode }

func (e *KindError) Error() string { return "it is " + Kind(e.Mode) + ", not a file" }

// A SizeError is returned for a file that is too large.
type SizeError struct{ Size, Limit int64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("it has %d bytes, and may have %d", e.Size, e.Limit)
}

// Kind returns what a file that is not regular is, in words.
func Kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "not a regular file"
}

// Open opens a regular file, or one that a link leads to.
func Open(path string) (*os.File, error) { return open(path, os.Stat) }

// ReadOwn reads a regular file of up to limit bytes, and follows no link.
func ReadOwn(path string, limit int64) ([]byte, fs.FileInfo, error) {
	return read(path, limit, os.Lstat)
}

// Read reads a regular file of up to limit bytes, or one that a link leads to.
func Read(path string, limit int64) ([]byte, error) {
	content, _, err := read(path, limit, os.Stat)
	return content, err
}

func read(path string, limit int64, stat func(string) (fs.FileInfo, error)) ([]byte, fs.FileInfo, error) {
	f, err := open(path, stat)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() > limit {
		return nil, nil, &SizeError{info.Size(), limit}
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1)) // it may grow, or tell no size, as those of /proc do
	if err == nil && int64(len(content)) > limit {
		err = &SizeError{int64(len(content)), limit}
	}
	return content, info, err
}

// open looks before it opens, since opening a pipe waits for a writer, and again at what it has opened.
func open(path string, stat func(string) (fs.FileInfo, error)) (*os.File, error) {
	before, err := stat(path)
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, &KindError{before.Mode()}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	if after, err := f.Stat(); err != nil || !os.SameFile(before, after) {
		return nil, errors.Join(err, f.Close(), errors.New("another file took its place while it was read"))
	}
	return f, nil
}
