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

// options are those of a mount that is written to, and of one that is only read.
var options = map[FileSystem]struct{ write, read string }{
	// Without noinit_itable, the kernel fills the inode tables of the sparse file with zeros. Without barrier=0, each
	// fsync of dpkg in a machine is a flush to this computer's disk, which takes seconds and helps only at a power
	// failure.
	Ext4: {"noinit_itable,barrier=0", "ro,noload"},
	// Clones of a disk have its UUID, and are mounted at the same time.
	XFS: {"nouuid", "ro,norecovery,nouuid"},
	// EBS volumes do not discard either. Linux mounts two clones at the same time since version 6.7.
	Btrfs: {"nobarrier,nodiscard", "ro,rescue=nologreplay"},
}

// Mount mounts a disk on dir through a loop device, which is removed with the mount. unmount flushes, unmounts and
// returns when the loop device is removed, so that image can be cloned at once. It may be called again. A read-only
// mount does not replay the journal: it shows the disk of a machine that was killed as it is.
func Mount(image, dir string, readOnly bool) (unmount func() error, err error) {
	fs, err := FileSystemOf(image)
	if err != nil {
		return nil, fmt.Errorf("mount disk %s: %w", image, err)
	}
	how := options[fs].write
	if readOnly {
		how = options[fs].read
	}
	if err := run(context.Background(), "mount", "-t", string(fs), "-o", "loop,"+how, image, dir); err != nil {
		return nil, fmt.Errorf("mount disk %s: %w", image, err)
	}
	m := mount{dir: dir, device: deviceOf(dir)}
	return sync.OnceValue(m.unmount), nil
}

type mount struct {
	dir    string
	device string // name below /sys/block, "loop3"
}

func (m mount) unmount() error {
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

// deviceOf returns the block device that is mounted on dir. The device number of the directory would not tell: btrfs
// has one of its own.
func deviceOf(dir string) string {
	path, err := filepath.EvalSymlinks(dir)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	mounts, readErr := os.ReadFile("/proc/self/mountinfo")
	if errors.Join(err, readErr) != nil {
		return ""
	}
	device := ""
	for line := range strings.Lines(string(mounts)) {
		// ID, parent, device number, root, mount point and options, then "-", type, source and more options.
		mount, source, _ := strings.Cut(line, " - ")
		if m, s := strings.Fields(mount), strings.Fields(source); len(m) > 4 && len(s) > 1 && unescape(m[4]) == path {
			device = filepath.Base(s[1]) // the last mount is the one that is seen
		}
	}
	return device
}

// unescape replaces the octal escapes of /proc/self/mountinfo.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}
