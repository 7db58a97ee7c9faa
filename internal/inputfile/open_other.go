// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package inputfile

// nonblock is for pipes, which have names on Unix only.
const nonblock = 0
