// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// FromTree makes image, an ext4 disk of size bytes that holds tree with its
// owners and modes. Nothing is mounted. image must not exist.
func FromTree(ctx context.Context, tree, image string, size int64) error {
	f, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make disk from %s: %w", tree, err)
	}
	err = errors.Join(f.Truncate(size), f.Close())
	if err == nil {
		// The label is for a person who meets the file. mke2fs writes the journal out, 64 MiB of
		// zeros by default, which every clone would have to carry.
		err = run(ctx, "mke2fs", "-q", "-t", "ext4", "-L", "root", "-J", "size=16", "-d", tree, image)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make disk from %s: %w", tree, err), os.Remove(image))
	}
	return nil
}

// Grow makes an unmounted disk and its file system size bytes large. A disk
// that is larger already is an error; nothing shrinks.
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
	if err := os.Truncate(image, size); err != nil {
		return fmt.Errorf("grow disk: %w", err)
	}
	// resize2fs wants a file system that was checked since its last mount.
	// Status 1 says that e2fsck mended what it found.
	err = run(ctx, "e2fsck", "-f", "-p", image)
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return fmt.Errorf("grow disk %s: %w", image, err)
	}
	if err := run(ctx, "resize2fs", image); err != nil {
		return fmt.Errorf("grow disk %s to %s bytes: %w", image, strconv.FormatInt(size, 10), err)
	}
	return nil
}

// run runs a tool and puts what it said into the error.
func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
