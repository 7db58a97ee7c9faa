// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"debug/elf"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

// platform is what QEMU's machines of one architecture have of their own.
type platform struct {
	emulator machine.Program
	firmware machine.Program // the path of a file that QEMU does not come with; empty: its own firmware
	elf      elf.Machine     // what programs are built for
	product  string          // instance type, as SMBIOS has it
	kvm      bool            // whether this computer may have KVM for it
	hardware []string        // arguments: the board, and the serial port for the character device "console"
	emulated []string        // arguments: the processor without KVM
}

var platforms = map[Architecture]platform{
	X86: {
		emulator: machine.Program{Name: "qemu-system-x86_64", Package: "qemu-system-x86"},
		elf:      elf.EM_X86_64, product: "t3.nano", kvm: true,
		hardware: []string{"-serial", "chardev:console"},
		// Measured: one processor in one thread is faster than two, and five-level page tables are slower.
		emulated: []string{"-accel", "tcg,thread=single,tb-size=512", "-cpu", "max,la57=off", "-smp", "1"},
	},
	// UEFI hands SMBIOS and ACPI to the kernel, as on EC2. A PCI card is ttyS0; the board's own port would be ttyAMA0.
	ARM64: {
		emulator: machine.Program{Name: "qemu-system-aarch64", Package: "qemu-system-arm"},
		firmware: machine.Program{Name: "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", Package: "qemu-efi-aarch64"},
		elf:      elf.EM_AARCH64, product: "t4g.nano",
		hardware: []string{"-machine", "virt,gic-version=3", "-device", "pci-serial,chardev=console"},
		// The processor of t4g. Measured: a kernel boots in a quarter of the time that it takes on max, whose pointer
		// authentication is slow to emulate.
		emulated: []string{"-accel", "tcg,thread=single,tb-size=512", "-cpu", "neoverse-n1", "-smp", "1"},
	},
}

// platform returns that of the runner's machines.
func (r Runner) platform() platform {
	if r.Architecture == "" {
		return platforms[X86]
	}
	return platforms[r.Architecture]
}

// hasKVM reports whether the machines run by KVM.
func (p platform) hasKVM() bool { return p.kvm && hasKVM() }
