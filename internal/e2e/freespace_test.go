// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// onDisk mounts a disk while a function runs.
func onDisk(t *testing.T, image string, do func(dir, device string)) {
	t.Helper()
	dir := t.TempDir()
	mounted, err := disk.Mount(image, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if words := strings.Fields(line); words[1] == dir {
			do(dir, words[0])
		}
	}
	if err := mounted(); err != nil {
		t.Fatal(err)
	}
}

// TestFreeSpace checks that the content of removed files is in the disk's blocks until the guest program overwrites
// them.
func TestFreeSpace(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := disk.FromTree(t.Context(), disk.Ext4, t.TempDir(), image, 64<<20); err != nil {
		t.Fatal(err)
	}
	var h secretSearch
	secret := "planted+" + rand.Text()
	h.add(t, "what was freed", secret)
	onDisk(t, image, func(dir, _ string) {
		for i := range 200 {
			put(t, filepath.Join(dir, fmt.Sprintf("small%d", i)), strings.Repeat(secret, 50), 0o600)
		}
		put(t, filepath.Join(dir, "large"), strings.Repeat(secret, 1<<18), 0o600)
	})
	onDisk(t, image, func(dir, _ string) {
		files, err := filepath.Glob(dir + "/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := os.RemoveAll(file); err != nil {
				t.Fatal(err)
			}
		}
	})
	if len(h.inFile(t, image)) == 0 {
		t.Fatal("what was removed is not there, so that nothing can be tested")
	}
	onDisk(t, image, func(dir, device string) {
		work := write(t, map[string]string{
			"mounts": "proc /proc proc rw 0 0\n" + device + " " + dir + " ext4 rw,relatime 0 0\n" + device +
				" " + dir + "/again ext4 rw 0 0\n",
			"bin/fstrim.sh": "#!/bin/sh\n", // this disk takes it, others do not
			"zero.sh":       functions(t) + "\nbakery_mounts=$1\nbakery_wipe_free_space\n",
		})
		if err := os.Rename(filepath.Join(work, "bin/fstrim.sh"), filepath.Join(work, "bin/fstrim")); err != nil {
			t.Fatal(err)
		}
		r := packertest.Run(t, work, []string{"PATH=" + filepath.Join(work, "bin") + ":/usr/sbin:/usr/bin:/sbin:/bin"},
			"/bin/sh", "zero.sh", "mounts")
		if left, err := os.ReadDir(dir); r.Code != 0 || err != nil || len(left) > 1 {
			t.Errorf("exit status %d, and %v is left: %v\n%s", r.Code, left, err, r.Output)
		}
	})
	if found := h.inFile(t, image); len(found) > 0 {
		t.Errorf("in the blocks of the disk is still %v", found)
	}
}

// functions returns the functions of the guest program, without the last lines, which call them.
func functions(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(packertest.Root(), "internal/guest/program/bakery.sh"))
	if err != nil {
		t.Fatal(err)
	}
	functions, _, ok := strings.Cut(string(text), "\ncase ${1:-} in\n")
	if !ok {
		t.Fatal("the guest program does not end as it did")
	}
	return functions
}
