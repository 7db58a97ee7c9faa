// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package disk creates, copies, grows and mounts machines' disks: raw, sparse files with a file system and nothing
// else, no partition table and no boot loader. It may not know what is on them.
package disk

import (
	"bytes"
	"fmt"
	"os"
)

// DefaultSize is the default size of a disk in bytes: 8 GiB, as Debian's AMIs. The file is sparse and needs only the
// space that is used.
const DefaultSize int64 = 8 << 30

// FileSystem is the type of a disk's file system, as mount(8) names it.
type FileSystem string

// The file systems of disks. Only containers boot from XFS and btrfs: the kernel for virtual machines has ext4 only.
const (
	Ext4  FileSystem = "ext4"
	XFS   FileSystem = "xfs"
	Btrfs FileSystem = "btrfs"
)

// magic are the bytes by which a file system is known, and where they are.
var magic = map[FileSystem]struct {
	offset int64
	bytes  string
}{
	Ext4:  {1024 + 0x38, "\x53\xef"},
	XFS:   {0, "XFSB"},
	Btrfs: {64<<10 + 0x40, "_BHRfS_M"},
}

// FileSystemOf returns the file system of a disk.
func FileSystemOf(image string) (FileSystem, error) {
	f, err := os.Open(image)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	for name, m := range magic {
		got := make([]byte, len(m.bytes))
		if _, err := f.ReadAt(got, m.offset); err == nil && bytes.Equal(got, []byte(m.bytes)) {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s is not a raw file system of ext4, XFS or btrfs; the lab's disks have no partition table",
		image)
}
