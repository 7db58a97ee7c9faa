//go:build !linux

// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"os"
)

// Init does nothing here.
func Init() {}

// Run fails: there are no namespaces here.
func Run([]string, []*os.File) (int, error) {
	return 0, errors.New("run in a sandbox: it needs Linux (PID and mount namespaces)")
}

// Child fails.
func Child([]string, []*os.File) (int, error) {
	return 0, errors.New("start the lab: it needs Linux")
}

// Inside is always false here.
func Inside() bool { return false }

// Files is always empty here.
func Files() []*os.File { return nil }
