// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"os"
)

// Init must be called first in main (or TestMain) of a program that calls Run.
func Init() {}

// Run runs this program again as argv in a sandbox and waits for it.
func Run(argv []string, files []*os.File) (exit int, err error) { return 0, errors.New("not yet") }

// Inside says whether this process was started by Run.
func Inside() bool { return false }

// Files are the files given to Run, inside.
func Files() []*os.File { return nil }
