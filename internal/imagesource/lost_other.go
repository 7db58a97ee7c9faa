// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build !linux && !darwin

package imagesource

import "io/fs"

// inode identifies a file that may have several names.
type inode struct{}

// lost does nothing on systems whose files have none of this.
func (t *tree) lost(string, string, fs.DirEntry) {}
