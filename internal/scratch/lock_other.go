// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package scratch

import (
	"io/fs"
	"os"
)

// tryLock reports false: what a killed process leaves stays.
func tryLock(*os.File) bool { return false }

// isPrivate reports false: nothing here has a marker.
func isPrivate(fs.FileInfo, fs.FileMode) bool { return false }
