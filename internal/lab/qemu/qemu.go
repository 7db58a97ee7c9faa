// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package qemu runs the lab's disks as virtual machines, without root: with a kernel of their own, an NVMe disk, a
// serial console, EC2's SMBIOS strings and user-mode networking. It is slower than package machine's runner, and closer
// to EC2: cloud-init detects EC2 by DMI and uses IMDSv2 tokens, the kernel's messages are on the console, and a
// power-off uses ACPI.
//
// It may not know more of EC2. The metadata service is an http.Handler, as in package machine.
package qemu

// Kernel is the kernel that machines boot.
type Kernel struct {
	Image   string   // the kernel itself, with built-in drivers for NVMe and ext4
	Modules []string // paths of the modules for all else, in the order to load them
}

// Architecture is a machine's, by the name that EC2 has for it.
type Architecture string

// The architectures of machines.
const (
	X86   Architecture = "x86_64"
	ARM64 Architecture = "arm64"
)

// Runner is a machine.Runner, for machines of one architecture.
type Runner struct {
	Architecture Architecture // X86 when empty
	// Program is this program, built for the architecture; when empty, it is this executable.
	Program string
	Kernel  Kernel
	// Consoles are the kernel's consoles, each as a console= in this order; the last one is /dev/console. The lab reads
	// ttyS0, as EC2 does. None: ttyS0.
	Consoles []string
}
