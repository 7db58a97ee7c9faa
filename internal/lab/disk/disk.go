// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package disk makes and handles machines' disks: raw, sparse files that hold
// an ext4 file system and nothing else, no partition table and no boot loader.
// It knows nothing of what is on them.
package disk

// DefaultSize is the size of a disk nobody asked another size for, in bytes.
// 8 GiB is what a Debian AMI has; the file is sparse and takes what is used.
const DefaultSize int64 = 8 << 30
