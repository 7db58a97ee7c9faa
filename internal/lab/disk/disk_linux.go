// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package disk

import (
	"context"
	"errors"
)

// FromTree makes image, an ext4 disk of size bytes that holds tree.
func FromTree(ctx context.Context, tree, image string, size int64) error { return errors.New("not yet") }

// Clone copies a disk: sparse, sharing blocks where the file system can.
func Clone(src, dst string) error { return errors.New("not yet") }

// Grow makes a disk and its file system size bytes large.
func Grow(ctx context.Context, image string, size int64) error { return errors.New("not yet") }

// Mount mounts a disk on dir. unmount may be called more than once.
func Mount(image, dir string, readOnly bool) (unmount func() error, err error) {
	return nil, errors.New("not yet")
}
