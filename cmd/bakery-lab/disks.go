// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/baseimage"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// baseDisk returns the disk of a base image, which it builds when there is none.
func (h home) baseDisk(ctx context.Context, suite string) (string, error) {
	image, err := baseimage.Ensure(ctx, h.base(), suite, os.Stderr)
	if err == nil {
		now := time.Now()
		_ = os.Chtimes(image.Disk, now, now) // when it was used, for prune; a shared cache may not be writable
	}
	return image.Disk, err
}

// rootDisk returns the disk of an image's root file system.
func (h home) rootDisk(ctx context.Context, i cloud.Image) (string, error) {
	if i.Suite != "" {
		return h.baseDisk(ctx, i.Suite)
	}
	for _, d := range i.Devices {
		if d.Name == i.RootDevice {
			return cloud.SnapshotDisk(h.images(), d.SnapshotID), nil
		}
	}
	return "", fmt.Errorf("%s has no root device", i.ID)
}
