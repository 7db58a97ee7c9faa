// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package bundle

import (
	"os/exec"
	"syscall"
)

// prepareGroup gives the program a process group of its own. Cancelling ends the whole group.
func prepareGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

// endGroup kills the background processes of the program, so that nothing writes to the work folder any more. It
// ignores the error that there are none.
func endGroup(cmd *exec.Cmd) {
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}
