// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package qemu runs the lab's disks as virtual machines, without root: a kernel of their own, an NVMe
// disk, a serial console, EC2's SMBIOS strings and user-mode networking. It is slower than package
// machine's runner and shows what that one hides: cloud-init finds EC2 by DMI and asks for IMDSv2
// tokens, the kernel's messages are on the console, a power-off goes through ACPI.
//
// It knows no EC2 beyond that. What a machine is told comes in as http.Handlers, as in package machine.
package qemu

// Kernel is what machines boot.
type Kernel struct {
	Image   string   // a bzImage that has drivers for NVMe and ext4 built in
	Modules []string // paths of the modules for everything else, in the order to load them
}

// Runner is a machine.Runner.
type Runner struct{ Kernel Kernel }
