// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
)

// cacheDir returns the lab's own cache, so that all tests and the lab use the same images.
func cacheDir(t *testing.T) string {
	t.Helper()
	if home := os.Getenv("BAKERY_LAB_HOME"); home != "" {
		return home
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(cache, "bakery-lab")
}

var (
	bookworm = variant{name: "bookworm", suite: "bookworm"}
	trixie   = variant{name: "trixie", suite: "trixie"}
)

func TestContentOfABaseImage(t *testing.T) {
	image, err := Ensure(t.Context(), cacheDir(t), "bookworm", t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(image.Versions["cloud-init"], "22.4") ||
		!strings.HasPrefix(image.Versions["systemd"], "252") {
		t.Errorf("versions %v", image.Versions)
	}
	var st unix.Stat_t
	if err := unix.Stat(image.Disk, &st); err != nil || st.Size != disk.DefaultSize || st.Blocks*512 > 400<<20 {
		t.Errorf("a disk of %d bytes that takes %d, %v", st.Size, st.Blocks*512, err)
	}
	dir := t.TempDir()
	unmount, err := disk.Mount(image.Disk, dir, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unmount(); err != nil {
			t.Error(err)
		}
	})
	for path, want := range map[string]string{"lib": "usr/lib", "bin": "usr/bin", "sbin": "usr/sbin",
		"var/run": "/run"} {
		if got, err := os.Readlink(filepath.Join(dir, path)); got != want {
			t.Errorf("/%s leads to %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"etc/machine-id", "etc/resolv.conf"} {
		if info, err := os.Lstat(filepath.Join(dir, path)); err != nil || !info.Mode().IsRegular() || info.Size() != 0 {
			t.Errorf("/%s is not an empty file: %v, %v", path, info, err)
		}
	}
	for _, pattern := range []string{"usr/share/perl/*", "etc/ssh/ssh_host_*", "boot/vmlinuz*",
		"var/lib/apt/lists/*Packages*", noUsrmerge} {
		if found, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(found) > 0 {
			t.Errorf("it has %q, %v", found, err)
		}
	}
	sources, err := os.ReadFile(filepath.Join(dir, "etc/apt/sources.list"))
	for _, line := range ownMirror("/etc/apt").sourcesList("bookworm") {
		if !strings.Contains(string(sources), line+"\n") {
			t.Errorf("sources.list lacks %q, %v:\n%s", line, err, sources)
		}
	}
}

func TestEnsureUsesACachedImage(t *testing.T) {
	c := cached{dir: t.TempDir(), recipe: newRecipe(trixie, mirror{}, nil)}
	if _, err := c.load(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty cache: %v", err)
	}
	for ending, content := range map[string]string{".img": "disk", ".json": `{"systemd": "257"}`} {
		if err := os.WriteFile(c.path(ending), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	image, err := c.buildOnce(t.Context(), t.Output())
	if err != nil || image.Disk != c.path(".img") || image.Versions["systemd"] != "257" {
		t.Errorf("got %+v, %v", image, err)
	}
}

func TestEnsureWaitsForAnotherBuild(t *testing.T) {
	c := cached{dir: t.TempDir(), recipe: newRecipe(trixie, mirror{}, nil)}
	unlock, err := c.lock(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var output bytes.Buffer
	cancel()
	if _, err := c.buildOnce(ctx, &output); !errors.Is(err, context.Canceled) ||
		!strings.Contains(output.String(), "waiting for another process") {
		t.Errorf("got %v, %q", err, output.String())
	}
	unlock()
	unlock, err = c.lock(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestErrorsOfABuild(t *testing.T) {
	_, err := Ensure(t.Context(), t.TempDir(), "woody", t.Output())
	if err == nil || !strings.Contains(err.Error(), "there are bullseye, bookworm, trixie") {
		t.Errorf("an unknown suite: %v", err)
	}
	dir := t.TempDir()
	c := cached{dir: dir, recipe: newRecipe(bookworm, mirror{archive: "http://127.0.0.1:9/debian"}, nil)}
	_, err = c.buildOnce(t.Context(), t.Output())
	if err == nil || !strings.Contains(err.Error(), "mmdebstrap") || !strings.Contains(err.Error(), "127.0.0.1:9") {
		t.Errorf("an unreachable mirror: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "b*")); err != nil || len(left) != 1 { // the lock
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestABuildEndsWithItsContext(t *testing.T) {
	c := cached{dir: t.TempDir(), recipe: newRecipe(bookworm, ownMirror("/etc/apt"), aptOptions())}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.buildOnce(ctx, writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }))
	if err == nil {
		t.Error("it went on")
	}
	if left, err := filepath.Glob(filepath.Join(c.dir, "build-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
