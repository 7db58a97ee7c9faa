// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountScratch mounts a tmpfs, which only the sandbox sees, over a directory that every Linux has, and returns the
// directory. None of the directories to avoid is below it.
func mountScratch(avoid ...string) (string, error) {
	for _, dir := range []string{"/mnt", "/media", "/srv"} {
		if slices.ContainsFunc(avoid, func(a string) bool { return strings.HasPrefix(a+"/", dir+"/") }) {
			continue
		}
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err != nil {
			continue
		}
		if s.Type == unix.TMPFS_MAGIC { // mounted for the other image of a comparison
			return dir, nil
		}
		if err := unix.Mount("bakery-lab", dir, "tmpfs", 0, "mode=0700"); err != nil {
			return "", fmt.Errorf("mount a scratch directory at %s: %w", dir, err)
		}
		return dir, nil
	}
	return "", errors.New("mount a scratch directory: there is none of /mnt, /media, /srv")
}

func changeRoot(dir string) error {
	if err := unix.Chroot(dir); err != nil {
		return fmt.Errorf("look into the image: %w", err)
	}
	return os.Chdir("/")
}
