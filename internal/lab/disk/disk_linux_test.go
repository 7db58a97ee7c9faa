// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package disk_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sandbox"
)

const mib = 1 << 20

// TestMain runs the tests in a sandbox: a lab that starts meanwhile has a copy of this computer's mount table until it
// ends, and so would keep the disks of the tests mounted.
func TestMain(m *testing.M) {
	sandbox.Init()
	if sandbox.Inside() {
		os.Exit(m.Run())
	}
	code, err := sandbox.Run(os.Args, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

func makeDisk(t *testing.T, size int64) string {
	t.Helper()
	return makeDiskOf(t, disk.Ext4, size)
}

func makeDiskOf(t *testing.T, fs disk.FileSystem, size int64) string {
	t.Helper()
	tree := t.TempDir()
	if err := os.MkdirAll(filepath.Join(tree, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "etc", "hello"), []byte("hello\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := disk.FromTree(t.Context(), fs, tree, image, size); err != nil {
		t.Fatal(err)
	}
	return image
}

func mount(t *testing.T, image string, readOnly bool) (dir string, unmount func()) {
	t.Helper()
	dir = t.TempDir()
	un, err := disk.Mount(image, dir, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	unmount = func() {
		if err := un(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}

func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestFromTreeCreatesASparseDisk(t *testing.T) {
	image := makeDisk(t, disk.DefaultSize)
	if got := allocated(t, image); got > 24*mib {
		t.Errorf("an 8 GiB disk with one small file takes %d MiB", got/mib)
	}
	dir, _ := mount(t, image, true)
	info, err := os.Stat(filepath.Join(dir, "etc", "hello"))
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("etc/hello: %v, %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err == nil {
		t.Error("a read-only mount was written to")
	}
}

func TestACloneIsIndependentOfItsSource(t *testing.T) {
	image := makeDisk(t, 256*mib)
	dir, unmount := mount(t, image, false)
	secret := bytes.Repeat([]byte("needle"), mib)
	if err := os.WriteFile(filepath.Join(dir, "written"), secret, 0o600); err != nil {
		t.Fatal(err)
	}
	unmount()
	clone := filepath.Join(t.TempDir(), "clone.img")
	if err := disk.Clone(image, clone); err != nil {
		t.Fatal(err)
	}
	if got, want := allocated(t, clone), allocated(t, image); got > want+mib {
		t.Errorf("the clone takes %d bytes, its source %d", got, want)
	}
	cloneDir, _ := mount(t, clone, false)
	got, err := os.ReadFile(filepath.Join(cloneDir, "written"))
	if err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("the clone's file: %d bytes, %v", len(got), err)
	}
	if err := os.Remove(filepath.Join(cloneDir, "written")); err != nil {
		t.Fatal(err)
	}
	dir, _ = mount(t, image, true)
	if _, err := os.Stat(filepath.Join(dir, "written")); err != nil {
		t.Errorf("a change of the clone reached its source: %v", err)
	}
}

func TestUnmountTwiceLeavesNoLoopDevice(t *testing.T) {
	image := makeDisk(t, 64*mib)
	dir := t.TempDir()
	un, err := disk.Mount(image, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := un(); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(loops(t), image+"\n") {
		t.Errorf("a loop device still has %s", image)
	}
}

func TestGrow(t *testing.T) {
	image := makeDisk(t, 64*mib)
	dir, unmount := mount(t, image, false) // resize2fs wants a check after a mount
	if err := os.WriteFile(filepath.Join(dir, "x"), make([]byte, 128*mib), 0o600); err == nil {
		t.Fatal("128 MiB fitted on a disk of 64")
	}
	unmount()
	if err := disk.Grow(t.Context(), image, 512*mib); err != nil {
		t.Fatal(err)
	}
	dir, _ = mount(t, image, false)
	if err := os.WriteFile(filepath.Join(dir, "x"), make([]byte, 128*mib), 0o600); err != nil {
		t.Error(err)
	}
}

// TestEveryFileSystem checks that disks of each can be made, known, cloned, mounted beside their clones, and grown.
func TestEveryFileSystem(t *testing.T) {
	for _, fs := range []disk.FileSystem{disk.Ext4, disk.XFS, disk.Btrfs} {
		t.Run(string(fs), func(t *testing.T) {
			image := makeDiskOf(t, fs, 512*mib)
			if got, err := disk.FileSystemOf(image); got != fs || err != nil {
				t.Errorf("it is %q, %v", got, err)
			}
			clone := filepath.Join(t.TempDir(), "clone.img")
			if err := disk.Clone(image, clone); err != nil {
				t.Fatal(err)
			}
			if err := disk.Grow(t.Context(), clone, 1024*mib); err != nil {
				t.Fatal(err)
			}
			original, _ := mount(t, image, true)
			dir, unmount := mount(t, clone, false)
			for _, d := range []string{original, dir} {
				info, err := os.Stat(filepath.Join(d, "etc", "hello"))
				if err != nil || info.Mode() != 0o640 {
					t.Errorf("etc/hello: %v, %v", info, err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "x"), make([]byte, 600*mib), 0o600); err != nil {
				t.Errorf("it was not grown: %v", err)
			}
			unmount()
			if strings.Contains(loops(t), clone+"\n") {
				t.Error("a loop device still has the clone")
			}
		})
	}
}

// loops returns the names of the files of all loop devices.
func loops(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		name, _ := os.ReadFile(f) // empty when it has just been removed
		all.Write(name)
	}
	return all.String()
}

func TestErrors(t *testing.T) {
	image := makeDisk(t, 64*mib)
	ctx := context.Background()
	tests := map[string]struct {
		do   func() error
		want string
	}{
		"an existing file is not overwritten by a new disk": {
			func() error { return disk.FromTree(ctx, disk.Ext4, t.TempDir(), image, 64*mib) }, "file exists"},
		"a tree that is not there": {
			func() error { return disk.FromTree(ctx, disk.Ext4, "/no/such/tree", image+".new", 64*mib) },
			"/no/such/tree"},
		"an existing file is not overwritten by a clone": {
			func() error { return disk.Clone(image, image) }, "file exists"},
		"a file system that is not there": {
			func() error { return disk.FromTree(ctx, "zfs", t.TempDir(), image+".new", 64*mib) },
			`no file system "zfs"`},
		"shrinking": {
			func() error { return disk.Grow(ctx, image, mib) }, "more than the 1048576 asked for"},
		"mounting what is no disk": {
			func() error { _, err := disk.Mount("/dev/null", t.TempDir(), true); return err }, "mount disk /dev/null"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := tc.do()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
	if _, err := os.Stat(image + ".new"); err == nil {
		t.Error("a failed disk was left behind")
	}
}
