// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// FromTree creates a disk of size bytes with the files of tree, their owners and modes. It mounts nothing for ext4, and
// the new disk for other file systems. image must not exist.
func FromTree(ctx context.Context, fs FileSystem, tree, image string, size int64) error {
	f, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make disk from %s: %w", tree, err)
	}
	err = errors.Join(f.Truncate(size), f.Close())
	if err == nil {
		err = fill(ctx, fs, tree, image)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make disk from %s: %w", tree, err), os.Remove(image))
	}
	return nil
}

// fill makes a file system with the files of tree. Its label is for people who find the file.
func fill(ctx context.Context, fs FileSystem, tree, image string) error {
	switch fs {
	case Ext4:
		// mke2fs writes the whole journal, by default 64 MiB of zeros, which every clone would have.
		return run(ctx, "mke2fs", "-q", "-t", "ext4", "-L", "root", "-J", "size=16", "-d", tree, image)
	case XFS:
		if err := run(ctx, "mkfs.xfs", "-q", "-L", "root", image); err != nil {
			return needs("xfsprogs", err)
		}
	case Btrfs:
		if err := run(ctx, "mkfs.btrfs", "-q", "-L", "root", image); err != nil {
			return needs("btrfs-progs", err)
		}
	default:
		return fmt.Errorf("there is no file system %q", fs)
	}
	return mounted(image, func(dir string) error {
		return run(ctx, "cp", "-a", "--reflink=never", tree+"/.", dir)
	})
}

// needs names the Debian package of a tool that is not there.
func needs(debianPackage string, err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w; install it with: apt-get install %s", err, debianPackage)
	}
	return err
}

// mounted mounts a disk while do runs.
func mounted(image string, do func(dir string) error) (err error) {
	dir, err := os.MkdirTemp("", "bakery-lab-disk-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	unmount, err := Mount(image, dir, false)
	if err != nil {
		return err
	}
	return errors.Join(do(dir), unmount())
}

// Grow grows an unmounted disk and its file system to size bytes. A larger disk is an error.
func Grow(ctx context.Context, image string, size int64) error {
	info, err := os.Stat(image)
	if err != nil {
		return fmt.Errorf("grow disk: %w", err)
	}
	if info.Size() > size {
		return fmt.Errorf("grow disk %s: it has %d bytes, more than the %d asked for", image, info.Size(), size)
	}
	if info.Size() == size {
		return nil
	}
	fs, err := FileSystemOf(image)
	if err == nil {
		err = os.Truncate(image, size)
	}
	if err == nil {
		err = growFileSystem(ctx, fs, image)
	}
	if err != nil {
		return fmt.Errorf("grow disk %s to %d bytes: %w", image, size, err)
	}
	return nil
}

func growFileSystem(ctx context.Context, fs FileSystem, image string) error {
	switch fs {
	case Ext4:
		// resize2fs needs a file system that was checked after its last mount. Status 1 is that e2fsck has repaired it.
		err := run(ctx, "e2fsck", "-f", "-p", image)
		if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
			return err
		}
		return run(ctx, "resize2fs", image)
	case XFS:
		return mounted(image, func(dir string) error { return needs("xfsprogs", run(ctx, "xfs_growfs", dir)) })
	case Btrfs:
		return mounted(image, func(dir string) error {
			return needs("btrfs-progs", run(ctx, "btrfs", "filesystem", "resize", "max", dir))
		})
	}
	return fmt.Errorf("there is no file system %q", fs)
}

// run runs a tool. Its output is in the error.
func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
