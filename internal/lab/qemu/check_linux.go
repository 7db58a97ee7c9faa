// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"bytes"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

const emulator = "qemu-system-x86_64"

// programs are needed to run virtual machines.
var programs = []machine.Program{
	{Name: emulator, Package: "qemu-system-x86"},
	{Name: "e2fsck", Package: "e2fsprogs"},
	{Name: "resize2fs", Package: "e2fsprogs"},
}

// Check returns an error that names all that is missing to run virtual machines, with the Debian packages to install.
func Check() error { return machine.CheckPrograms("run virtual machines", programs) }

// hasKVM reports whether KVM works with the processor's virtualization. /dev/kvm alone is not enough: some nested
// clouds have modules for it that interpret an ordinary kernel, slower than QEMU.
func hasKVM() bool {
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

// hasVirtualization reports whether the processor's flags contain virtualization.
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
