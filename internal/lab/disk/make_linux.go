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

// FromTree creates an ext4 disk of size bytes with the files of tree, their owners and modes. It mounts nothing. image
// must not exist.
func FromTree(ctx context.Context, tree, image string, size int64) error {
	f, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make disk from %s: %w", tree, err)
	}
	err = errors.Join(f.Truncate(size), f.Close())
	if err == nil {
		// The label is for people who find the file. mke2fs writes the whole journal, by default 64 MiB of zeros, which
		// every clone would have.
		err = run(ctx, "mke2fs", "-q", "-t", "ext4", "-L", "root", "-J", "size=16", "-d", tree, image)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make disk from %s: %w", tree, err), os.Remove(image))
	}
	return nil
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
	if err := os.Truncate(image, size); err != nil {
		return fmt.Errorf("grow disk: %w", err)
	}
	// resize2fs needs a file system that was checked after its last mount. Status 1 is that e2fsck has repaired it.
	err = run(ctx, "e2fsck", "-f", "-p", image)
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return fmt.Errorf("grow disk %s: %w", image, err)
	}
	if err := run(ctx, "resize2fs", image); err != nil {
		return fmt.Errorf("grow disk %s to %s bytes: %w", image, strconv.FormatInt(size, 10), err)
	}
	return nil
}

// run runs a tool. Its output is in the error.
func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
