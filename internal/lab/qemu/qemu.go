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
	Image   string   // a bzImage with built-in drivers for NVMe and ext4
	Modules []string // paths of the modules for all else, in the order to load them
}

// Runner is a machine.Runner.
type Runner struct {
	Kernel Kernel
	// Consoles are the kernel's consoles, each as a console= in this order; the last one is /dev/console. The lab reads
	// ttyS0, as EC2 does. None: ttyS0.
	Consoles []string
}
