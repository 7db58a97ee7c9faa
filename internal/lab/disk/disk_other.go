//go:build !linux

// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package disk

import (
	"context"
	"errors"
)

var errNotLinux = errors.New("handle a disk image: it needs Linux (loop devices, ext4)")

// FromTree creates a disk of size bytes with the files of tree.
func FromTree(context.Context, FileSystem, string, string, int64) error { return errNotLinux }

// Clone copies a disk.
func Clone(string, string) error { return errNotLinux }

// Grow grows a disk and its file system to size bytes.
func Grow(context.Context, string, int64) error { return errNotLinux }

// Mount mounts a disk on dir.
func Mount(string, string, bool) (func() error, error) { return nil, errNotLinux }
