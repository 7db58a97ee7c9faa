// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package wholefile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func hasOneName(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 1
}

// isOfAnotherUser reports whether a file belongs neither to the user nor to root.
func isOfAnotherUser(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}

// keepOwner gives a file the owner and the group of another.
func keepOwner(f *os.File, before fs.FileInfo) error {
	stat, ok := before.Sys().(*syscall.Stat_t)
	if !ok {
		return fs.ErrInvalid
	}
	return f.Chown(int(stat.Uid), int(stat.Gid))
}

// lock waits for a lock on a file, which is released when it is closed. It does not wait long: the user may hold the
// lock for as long as Packer runs.
func lock(f *os.File) {
	const tries = 20
	for range tries {
		if !errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK) {
			return // it is locked, or there are no locks
		}
		time.Sleep(pause)
	}
}
