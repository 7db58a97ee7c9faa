// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package inputfile

import "syscall"

// nonblock makes opening a pipe return at once, should one have taken the place of a file.
const nonblock = syscall.O_NONBLOCK
