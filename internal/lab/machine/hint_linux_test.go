// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"strings"
	"testing"
)

func TestTooManyMachinesAreNamed(t *testing.T) {
	hint := inotifyHint("Failed to create control group inotify object: Too many open files\nExiting PID 1...")
	if !strings.Contains(hint, "fs.inotify.max_user_instances") || inotifyHint("Exiting PID 1...") != "" {
		t.Errorf("%q", hint)
	}
}
