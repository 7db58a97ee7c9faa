// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSizesAreReadWithTheirUnit(t *testing.T) {
	for text, want := range map[string]byteSize{"2GiB": 2 << 30, "256MiB": 256 << 20, "1KiB": 1 << 10, "17": 17} {
		var size byteSize
		if err := size.Set(text); err != nil || size != want {
			t.Errorf("%s is %d, %v", text, size, err)
		}
	}
	for _, text := range []string{"", "0", "-1MiB", "1GB", "x"} {
		if err := new(byteSize).Set(text); err == nil {
			t.Errorf("%q is accepted as a size", text)
		}
	}
}

func TestASectionThatDoesNotExistIsNamed(t *testing.T) {
	err := run(t.Context(), []string{"compil"}, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), `"compil"`) {
		t.Errorf("got %v", err)
	}
}

func TestAMixedTreeHasExactlyItsSize(t *testing.T) {
	const want = 3<<20 + 17
	dir := t.TempDir()
	if err := mixedTree(dir, want); err != nil {
		t.Fatal(err)
	}
	var size int64
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil || size != want {
		t.Errorf("it has %d bytes, %v", size, err)
	}
}

func TestTheStateOfAnInstanceIsReadFromTheList(t *testing.T) {
	list := "INSTANCE  NAME  STATE\ni-1  -  running\ni-2  -  stopped  ami-1\n"
	for instance, want := range map[string]string{"i-2": "stopped", "i-3": ""} {
		if got := state(list, instance); got != want {
			t.Errorf("%s is %q, want %q", instance, got, want)
		}
	}
}
