// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/baseimage"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/qemu"
)

// TestEveryBaseImageIsAnAMI checks that the images which can be built are those that EC2 lists.
func TestEveryBaseImageIsAnAMI(t *testing.T) {
	if diff := cmp.Diff(baseimage.Names, cloud.Suites); diff != "" {
		t.Errorf("package baseimage and package cloud (-want +got):\n%s", diff)
	}
	ids := map[string]bool{}
	for _, name := range cloud.Suites {
		ids[cloud.BaseImageID(name)] = true
	}
	if len(ids) != len(cloud.Suites) {
		t.Errorf("%d ids for %d images", len(ids), len(cloud.Suites))
	}
}

// TestVirtualMachinesBootFromExt4 checks that another file system is refused by name.
func TestVirtualMachinesBootFromExt4(t *testing.T) {
	xfs := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(xfs, []byte("XFSB"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := machines{vms: map[qemu.Architecture]func() (machine.Runner, error){
		qemu.X86: func() (machine.Runner, error) { return nil, nil },
	}}
	_, err := m.Start(t.Context(), machine.Spec{Disk: xfs, Runner: string(virtual)})
	if err == nil || !strings.Contains(err.Error(), "its disk has xfs") {
		t.Errorf("got %v", err)
	}
}

// TestContainersAreNotForArm64 checks that an image of another architecture is refused with the way to run it.
func TestContainersAreNotForArm64(t *testing.T) {
	_, err := machines{}.Start(t.Context(), machine.Spec{Architecture: "arm64"})
	if err == nil || !strings.Contains(err.Error(), "--runner qemu") {
		t.Errorf("got %v", err)
	}
}

func TestHelpOfAGroupOfCommands(t *testing.T) {
	for word, want := range map[string]string{"image": "image build, image import", "images": "", "bogus": "", "": ""} {
		var b strings.Builder
		found := groupHelp(&b, word)
		var got []string
		for line := range strings.Lines(b.String()) {
			if fields := strings.Fields(line); strings.HasPrefix(line, "  "+word+" ") {
				got = append(got, strings.Join(fields[:2], " "))
			}
		}
		if strings.Join(got, ", ") != want || found != (want != "") {
			t.Errorf("%q: %t, %q", word, found, b.String())
		}
	}
}
