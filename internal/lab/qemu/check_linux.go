// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

const emulator = "qemu-system-x86_64"

// tools are the programs needed, with the Debian package that has each.
var tools = []struct{ program, pkg string }{
	{emulator, "qemu-system-x86"},
	{"e2fsck", "e2fsprogs"},
	{"resize2fs", "e2fsprogs"},
}

// Check says everything that is missing here to run virtual machines, with the Debian packages to install.
func Check() error {
	var programs, packages []string
	for _, t := range tools {
		if _, err := exec.LookPath(t.program); err != nil {
			programs, packages = append(programs, t.program), append(packages, t.pkg)
		}
	}
	if len(programs) == 0 {
		return nil
	}
	return fmt.Errorf("run virtual machines: not found in PATH: %s; install them with: apt-get install %s",
		strings.Join(programs, ", "), strings.Join(packages, " "))
}

// accelerated says whether KVM is real here. /dev/kvm alone is not enough: there are modules behind
// it, for nested clouds, under which an ordinary kernel is interpreted, slower than by QEMU itself.
func accelerated() bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !hasVirtualization(info) {
		return false
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// hasVirtualization looks for the processor's own virtualization among its flags.
func hasVirtualization(cpuinfo []byte) bool {
	for line := range bytes.Lines(cpuinfo) {
		name, flags, _ := bytes.Cut(line, []byte(":"))
		if string(bytes.TrimSpace(name)) != "flags" {
			continue
		}
		for flag := range bytes.FieldsSeq(flags) {
			if string(flag) == "vmx" || string(flag) == "svm" {
				return true
			}
		}
	}
	return false
}

var errNoKernel = errors.New("start a virtual machine: there is no kernel")
