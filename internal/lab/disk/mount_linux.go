// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// unmountLimit is how long unmounting waits for the last user of a mount or a loop device: a machine that is starting
// has a copy of the mount table for some milliseconds.
const unmountLimit = time.Minute

// Mount mounts a disk on dir through a loop device, which is removed with the mount. unmount flushes, unmounts and
// returns when the loop device is removed, so that image can be cloned at once. It may be called again. A read-only
// mount does not replay the journal: it shows the disk of a machine that was killed as it is.
func Mount(image, dir string, readOnly bool) (unmount func() error, err error) {
	// Without noinit_itable, the kernel fills the inode tables of the sparse file with zeros. Without barrier=0, each
	// fsync of dpkg in a machine is a flush to this computer's disk, which takes seconds and helps only at a power
	// failure.
	options := "loop,noinit_itable,barrier=0"
	if readOnly {
		options = "loop,ro,noload"
	}
	if err := run(context.Background(), "mount", "-t", "ext4", "-o", options, image, dir); err != nil {
		return nil, fmt.Errorf("mount disk %s: %w", image, err)
	}
	m := mounted{dir: dir, device: deviceOf(dir)}
	return sync.OnceValue(m.unmount), nil
}

type mounted struct {
	dir    string
	device string // name below /sys/block, "loop3"
}

func (m mounted) unmount() error {
	if err := syncFS(m.dir); err != nil {
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
	var err error
	if waitUntil(func() bool { err = unix.Unmount(m.dir, 0); return !errors.Is(err, unix.EBUSY) }); err != nil {
		return errors.Join(fmt.Errorf("unmount %s: %w", m.dir, err), unix.Unmount(m.dir, unix.MNT_DETACH))
	}
	free := func() bool {
		_, err := os.Stat(filepath.Join("/sys/block", m.device, "loop"))
		return errors.Is(err, os.ErrNotExist)
	}
	if !waitUntil(free) {
		return fmt.Errorf("unmount %s: /dev/%s is still in use after %s", m.dir, m.device, unmountLimit)
	}
	return nil
}

// syncFS writes all changes of the file system at dir to its device.
func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// waitUntil waits until done returns true, and reports whether it did within unmountLimit.
func waitUntil(done func() bool) bool {
	for limit := time.Now().Add(unmountLimit); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			return false
		}
	}
	return true
}

// deviceOf returns the block device that is mounted on dir.
func deviceOf(dir string) string {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return ""
	}
	link, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return ""
	}
	return link[strings.LastIndexByte(link, '/')+1:]
}
