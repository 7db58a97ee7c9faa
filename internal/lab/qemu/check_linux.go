// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

// programs are needed to run virtual machines of every architecture.
var programs = []machine.Program{
	{Name: "e2fsck", Package: "e2fsprogs"},
	{Name: "resize2fs", Package: "e2fsprogs"},
}

// Check returns an error that names all that is missing to run virtual machines of an architecture, with the Debian
// packages to install.
func Check(a Architecture) error {
	p := Runner{Architecture: a}.platform()
	if err := machine.CheckPrograms("run virtual machines", append(slices.Clip(programs), p.emulator)); err != nil {
		return err
	}
	if p.firmware.Name == "" {
		return nil
	}
	if _, err := os.Stat(p.firmware.Name); err != nil {
		return fmt.Errorf("run virtual machines: %w; install it with: apt-get install %s", err, p.firmware.Package)
	}
	return nil
}

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
