// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package packertest

import (
	"os"
	"os/exec"
	"testing"
)

// AWSCLI returns the path of the real awscli. It prefers Debian's: another aws in PATH may be a shim that does not
// work.
func AWSCLI(tb testing.TB) string {
	tb.Helper()

	if _, err := os.Stat("/usr/bin/aws"); err == nil {
		return "/usr/bin/aws"
	}
	path, err := exec.LookPath("aws")
	if err != nil {
		tb.Fatal("awscli is missing: install the Debian package awscli, or run make setup")
	}

	return path
}
