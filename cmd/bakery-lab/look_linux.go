// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// scratchDir gets a tmpfs inside the sandbox; every Linux has this directory, and images are not in it.
const scratchDir = "/mnt"

func scratch() error {
	var s unix.Statfs_t
	if err := unix.Statfs(scratchDir, &s); err == nil && s.Type == unix.TMPFS_MAGIC {
		return nil
	}
	if err := unix.Mount("bakery-lab", scratchDir, "tmpfs", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount a scratch directory at %s: %w", scratchDir, err)
	}
	return nil
}

func enter(dir string) error {
	if err := unix.Chroot(dir); err != nil {
		return fmt.Errorf("look into the image: %w", err)
	}
	return os.Chdir("/")
}
