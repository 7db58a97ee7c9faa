// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package wholefile

import (
	"io/fs"
	"os"
)

func hasOneName(fs.FileInfo) bool { return true }

func keepOwner(*os.File, fs.FileInfo) error { return nil }

func isOfAnotherUser(fs.FileInfo) bool { return false }

func lock(*os.File) {}
