// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package wholefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	return string(content)
}

func onlyEntries(t *testing.T, dir string, want int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != want {
		t.Errorf("in %s are %v, %v, want %d entries", dir, entries, err, want)
	}
}

func TestFailureLeavesTheEarlierFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	must(t, os.WriteFile(path, []byte("earlier"), 0o640))
	failed := errors.New("the test says so")
	err := Write(path, Shared, func(w io.Writer) error { return errors.Join(text("half")(w), failed) })
	if !errors.Is(err, failed) || read(t, path) != "earlier" {
		t.Errorf("the error is %v, and the file %q", err, read(t, path))
	}
	staged, err := Stage(path, Shared, text("new"))
	must(t, err)
	if got := read(t, path); got != "earlier" {
		t.Errorf("before the commit, the file is %q", got)
	}
	must(t, staged.Discard())
	if got := read(t, path); got != "earlier" {
		t.Errorf("after Discard, the file is %q", got)
	}
	onlyEntries(t, dir, 1)
}

func TestModes(t *testing.T) {
	old := syscall.Umask(0o022)
	defer syscall.Umask(old)
	dir := t.TempDir()
	for i, c := range []struct {
		before, want fs.FileMode
		mode         Mode
	}{
		{0, 0o644, Shared}, {0o600, 0o600, Shared}, {0o664, 0o664, Shared},
		{0, 0o600, Private}, {0o644, 0o600, Private},
	} {
		path := filepath.Join(dir, fmt.Sprint(i))
		if c.before != 0 {
			must(t, os.WriteFile(path, nil, 0o600))
			must(t, os.Chmod(path, c.before))
		}
		must(t, Write(path, c.mode, text("x")))
		if info, err := os.Stat(path); err != nil || info.Mode() != c.want {
			t.Errorf("%+v: the mode is %s, %v", c, info.Mode(), err)
		}
	}
}

func TestLinksAreFollowed(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	must(t, os.Symlink("a/b", filepath.Join(dir, "d")))
	must(t, os.Symlink("../file", filepath.Join(dir, "a/b/link")))
	for name, path := range map[string]string{
		"by a link to a directory": "d/link", "again, when it is there": "a/b/link",
	} {
		must(t, Write(filepath.Join(dir, path), Shared, text(name)))
		if got := read(t, filepath.Join(dir, "a/file")); got != name {
			t.Errorf("%s: the file is %q", name, got)
		}
		if _, err := os.Readlink(filepath.Join(dir, "a/b/link")); err != nil {
			t.Errorf("%s: the link is gone: %v", name, err)
		}
	}
}

func TestWhatCannotBeReplacedIsWrittenInPlace(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	must(t, os.WriteFile(one, []byte(strings.Repeat("earlier", 9)), 0o644))
	must(t, os.Link(one, two))
	must(t, Write(one, Shared, text("new")))
	if got := read(t, two); got != "new" {
		t.Errorf("the other name says %q", got)
	}
	must(t, Write(os.DevNull, Private, text("new")))
	info, err := os.Stat(os.DevNull)
	if err != nil || info.Mode()&fs.ModeCharDevice == 0 || info.Mode().Perm() != 0o666 {
		t.Errorf("%s is %v, %v", os.DevNull, info.Mode(), err)
	}
	onlyEntries(t, dir, 2)
}

// TestPipesWithoutAReaderAreGivenUp: a bake that waited for one would clean up nothing.
func TestPipesWithoutAReaderAreGivenUp(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	must(t, syscall.Mkfifo(fifo, 0o600))
	err := Write(fifo, Shared, text("out"))
	if err == nil || !strings.Contains(err.Error(), "a pipe that nobody reads") {
		t.Errorf("without a reader: %v", err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	must(t, err)
	defer reader.Close()
	err = Write(fifo, Shared, text(strings.Repeat("x", 1<<20)))
	if err == nil || !strings.Contains(err.Error(), "has taken nothing") {
		t.Errorf("with a reader that takes nothing: %v", err)
	}
}

func TestPipesAreWritten(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	fifo := filepath.Join(t.TempDir(), "fifo")
	must(t, syscall.Mkfifo(fifo, 0o600))
	inherited := fmt.Sprintf("/proc/self/fd/%d", w.Fd()) // as /dev/stdout leads to
	if _, err := os.Stat(inherited); err == nil {
		must(t, Write(inherited, Shared, text("out")))
		got := make([]byte, 3)
		if _, err := io.ReadFull(r, got); err != nil || string(got) != "out" {
			t.Errorf("the pipe says %q, %v", got, err)
		}
	}
	got := make(chan string)
	must(t, Check(fifo)) // without a reader
	go func() {
		content, _ := os.ReadFile(fifo)
		got <- string(content)
	}()
	must(t, Write(fifo, Shared, text("out")))
	if s := <-got; s != "out" {
		t.Errorf("the fifo says %q", s)
	}
}

func TestDescriptorOfAFileIsWrittenInPlace(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "redirected"))
	must(t, err)
	defer f.Close()
	link := filepath.Join(dir, "link")
	must(t, os.Symlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), link))
	if _, err := os.Stat(link); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("this system has no /proc: mount it")
		}
		t.Skip("this system has no /proc")
	}
	before, err := f.Stat()
	must(t, err)
	must(t, Write(link, Shared, text("out")))
	after, err := os.Stat(f.Name())
	if err != nil || !os.SameFile(before, after) || read(t, f.Name()) != "out" {
		t.Errorf("what is redirected is another file, or says %q, %v", read(t, f.Name()), err)
	}
}

func TestWritersAtOnceDoNotMix(t *testing.T) {
	for name, hasTwoNames := range map[string]bool{"replaced": false, "in place": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			if hasTwoNames {
				must(t, os.WriteFile(path, nil, 0o600))
				must(t, os.Link(path, path+"2"))
			}
			var writers sync.WaitGroup
			for n := range 8 {
				writers.Go(func() {
					content := strings.Repeat(fmt.Sprintln(n), 1000*(n+1))
					if err := Write(path, Private, text(content)); err != nil {
						t.Error(err)
					}
				})
			}
			writers.Wait()
			got := read(t, path)
			if n := len(got) / 2000; got != strings.Repeat(got[:2], 1000*n) || got[:2] != fmt.Sprintln(n-1) {
				t.Errorf("it is a mixture of %d bytes that begins with %q", len(got), got[:min(len(got), 20)])
			}
		})
	}
}

func TestCheckLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	must(t, Check(filepath.Join(dir, "new")))
	onlyEntries(t, dir, 0)
	path := filepath.Join(dir, "out")
	must(t, os.WriteFile(path, []byte("earlier"), 0o600))
	must(t, Check(path))
	if got := read(t, path); got != "earlier" {
		t.Errorf("the file is %q", got)
	}
	onlyEntries(t, dir, 1)
}
