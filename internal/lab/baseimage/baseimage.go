// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package baseimage makes the disks the lab's first AMIs stand for: plain
// Debian with systemd and cloud-init, from Debian's own packages, with the
// mirror this computer's own apt uses, and the kernel a virtual machine needs
// for them. It knows no EC2 and runs nothing of what it makes.
package baseimage

// Suites are the Debian releases a base image can be made of, oldest first.
// They bring cloud-init 20.4, 22.4 and 25.1.
var Suites = []string{"bullseye", "bookworm", "trixie"}

// Image is a base image in the cache.
type Image struct {
	Suite string // one of Suites
	Disk  string // path of the raw ext4 disk; never to be written, clone it
	// Versions of the packages that decide what a machine does, by name:
	// cloud-init, systemd.
	Versions map[string]string
}

// Kernel is Debian's kernel for virtual machines, in the cache.
type Kernel struct {
	Image   string   // path of the kernel itself
	Modules []string // paths of modules, in the order to load them
}
