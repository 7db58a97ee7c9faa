// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package baseimage builds the disks of the lab's base images: Debian with systemd and cloud-init, from Debian's
// packages and the mirror that this computer's apt uses. It also downloads the kernel for virtual machines. It may not
// know EC2, and runs nothing from the disks.
package baseimage

// Image is a base image in the cache.
type Image struct {
	Name string // one of Names
	Disk string // path of the raw disk; do not write to it, clone it
	// Versions of cloud-init and systemd, by package.
	Versions map[string]string
}

// Kernel is Debian's kernel for virtual machines, in the cache.
type Kernel struct {
	Image   string   // path of the kernel itself
	Modules []string // paths of modules, in the order to load them
}
