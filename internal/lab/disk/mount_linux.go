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

// settleLimit is how long unmounting waits for the last user of a mount or a
// loop device to let go: a machine that starts at this moment has a copy of the
// mount table for some milliseconds.
const settleLimit = time.Minute

// Mount mounts a disk on dir through a loop device that goes away with the
// mount. unmount flushes, unmounts and returns when the loop device is gone, so
// that image may be cloned at once; it may be called again. A read-only mount
// replays no journal: it shows a disk of a machine that was killed as it lies.
func Mount(image, dir string, readOnly bool) (unmount func() error, err error) {
	// noinit_itable: the kernel would fill the sparse file's inode tables with
	// zeros. barrier=0: a flush to the host's disk at each fsync of a guest's
	// dpkg costs seconds and protects only from the host's power cut.
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
	if settle(func() bool { err = unix.Unmount(m.dir, 0); return !errors.Is(err, unix.EBUSY) }); err != nil {
		return errors.Join(fmt.Errorf("unmount %s: %w", m.dir, err), unix.Unmount(m.dir, unix.MNT_DETACH))
	}
	free := func() bool {
		_, err := os.Stat(filepath.Join("/sys/block", m.device, "loop"))
		return errors.Is(err, os.ErrNotExist)
	}
	if !settle(free) {
		return fmt.Errorf("unmount %s: /dev/%s is still in use after %s", m.dir, m.device, settleLimit)
	}
	return nil
}

// syncFS writes what is in memory of the file system at dir to its device.
func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// settle asks until the answer is yes or settleLimit is over.
func settle(done func() bool) bool {
	for limit := time.Now().Add(settleLimit); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			return false
		}
	}
	return true
}

// deviceOf gives the block device mounted on dir.
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
