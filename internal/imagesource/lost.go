// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux || darwin

package imagesource

import (
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inode identifies a file that may have several names.
type inode struct{ device, number uint64 }

// lost warns of what the archive of fs/ does not carry: hard links, holes and extended attributes.
func (t *tree) lost(rel, full string, e fs.DirEntry) {
	info, err := e.Info()
	if err != nil {
		return // reported elsewhere
	}
	if names := attributes(full); len(names) > 0 {
		t.warnf(rel, "has %s, which the archive of fs/ does not carry: set it in install.sh%s",
			strings.Join(names, " and "), howToSet(names))
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return
	}
	if stat.Nlink > 1 {
		id := inode{uint64(stat.Dev), stat.Ino} //nolint:unconvert // its type depends on the system
		if first := t.names[id]; first != "" {
			t.warnf(rel, "is a hard link to %s, and will be a file of its own in the image: make it a symbolic link, "+
				"or link it in install.sh", t.shown(first))
		} else {
			t.names[id] = rel
		}
	}
	if stat.Blocks*512 < info.Size() && hasHole(full, info.Size()) {
		t.warnf(rel, "is a sparse file, which will take all of its %d bytes in the image: make it in install.sh",
			info.Size())
	}
}

// hasHole reports whether a file has a part that takes no space.
func hasHole(full string, size int64) bool {
	f, err := os.Open(full)
	if err != nil {
		return false
	}
	defer f.Close()
	at, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	return err == nil && at < size
}

// attributes returns the extended attributes of a file that matter in an image. The labels of SELinux are set on the
// machine, and desktop programs set some attributes on every file they download.
func attributes(full string) []string {
	buffer := make([]byte, 64<<10)
	n, err := unix.Llistxattr(full, buffer)
	if err != nil || n <= 0 {
		return nil
	}
	var names []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buffer[:n]), "\x00"), "\x00") {
		switch {
		case name == "security.selinux", strings.HasPrefix(name, "com.apple."), strings.HasPrefix(name, "user.xdg."),
			strings.HasPrefix(name, "trusted.overlay."), strings.HasPrefix(name, "system.nfs4"):
		default:
			names = append(names, name)
		}
	}
	return names
}

// howToSet names the program that sets an attribute.
func howToSet(names []string) string {
	switch {
	case len(names) > 1:
		return ""
	case names[0] == "security.capability":
		return ", with setcap"
	case strings.HasPrefix(names[0], "system.posix_acl_"):
		return ", with setfacl"
	}
	return ", with setfattr"
}
