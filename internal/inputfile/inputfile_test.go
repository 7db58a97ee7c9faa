// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package inputfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReadTakesFilesOnly(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(in("file"), []byte("text"), 0o600), os.Symlink("file", in("link")),
		syscall.Mkfifo(in("pipe"), 0o600), os.Symlink("pipe", in("link-to-pipe")), os.Mkdir(in("folder"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		in("file"): "", in("link"): "", in("pipe"): "it is a named pipe, not a file",
		in("link-to-pipe"): "it is a named pipe, not a file", in("folder"): "it is a folder, not a file",
		"/dev/zero": "it is a device, not a file",
	} {
		content, err := Read(path, 4)
		if got := message(err); got != want || err == nil && string(content) != "text" {
			t.Errorf("reading %s: %q, %q, want %q", path, content, got, want)
		}
	}
	if _, _, err := ReadOwn(in("link"), 4); message(err) != "it is a link, not a file" {
		t.Errorf("reading a link as a file of its own: %v", err)
	}
	if content, _, err := ReadOwn(in("file"), 4); err != nil || string(content) != "text" {
		t.Errorf("reading a file: %q, %v", content, err)
	}
	if _, err := Read(in("file"), 3); message(err) != "it has 4 bytes, and may have 3" {
		t.Errorf("reading a file that is too large: %v", err)
	}
}

func TestReadTakesNoMoreThanTheLimitOfASparseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sparse")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)); err != nil {
		t.Fatal(err)
	}
	var tooLarge *SizeError
	if _, err := Read(path, 1<<20); !errors.As(err, &tooLarge) {
		t.Errorf("reading a terabyte: %v", err)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestKindOf(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{
		fs.ModeDir: "a folder", fs.ModeSymlink: "a link", fs.ModeSocket: "a socket", fs.ModeNamedPipe: "a named pipe",
		fs.ModeDevice: "a device", fs.ModeDevice | fs.ModeCharDevice: "a device",
		fs.ModeIrregular: "not a regular file",
	} {
		if got := Kind(mode); got != want {
			t.Errorf("%v is %q, want %q", mode, got, want)
		}
	}
}
