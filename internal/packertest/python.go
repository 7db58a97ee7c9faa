// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package packertest

import (
	"os/exec"
	"testing"
)

// PythonWith returns the path of a Python that has a module of a Debian package. It prefers Debian's, as AWSCLI does.
func PythonWith(tb testing.TB, module, pkg string) string {
	tb.Helper()

	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.CommandContext(tb.Context(), python, "-c", "import "+module).Run() == nil {
			return python
		}
	}
	tb.Fatalf("no Python has the module %s: install the Debian package %s, or run make setup", module, pkg)

	return ""
}
