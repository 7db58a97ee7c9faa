// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package template

import (
	"fmt"
	"os"
	"strings"
)

// ParentArgs returns the command line of the process that has started this one, which is Packer's for a plugin. It is
// empty where it cannot be read.
func ParentArgs() []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", os.Getppid()))
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}
