//go:build !linux

// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package initrd

// Init does nothing here: virtual machines run Linux.
func Init() {}
