// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package disk creates, copies, grows and mounts machines' disks: raw, sparse files with an ext4 file system and
// nothing else, no partition table and no boot loader. It may not know what is on them.
package disk

// DefaultSize is the default size of a disk in bytes: 8 GiB, as Debian's AMIs. The file is sparse and needs only the
// space that is used.
const DefaultSize int64 = 8 << 30
