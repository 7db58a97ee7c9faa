// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// runInit is PID 1: it starts the program, forwards signals, and reaps orphans, which no other process does here. The
// program is not PID 1 itself, so that it can wait for its own children only. When runInit returns and the process
// exits, the kernel kills all other processes.
func runInit(role string, files []*os.File) int {
	signals := signalsToForward(role)
	if err := isolateMounts(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program, err := startProgram(files)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, f := range files {
		_ = f.Close() // otherwise a listener would stay open after the program has closed it
	}
	go func() {
		for sig := range signals {
			if s, ok := sig.(syscall.Signal); ok {
				_ = syscall.Kill(program, s)
			}
		}
	}()
	return reap(program)
}

// isolateMounts separates the mount table from this computer's, and mounts /proc for this PID namespace. Mounts are
// shared below: what is unmounted here is also unmounted in machines, which would keep it otherwise.
func isolateMounts() error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
	}
	if err == nil {
		err = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if err != nil {
		return fmt.Errorf("separate the sandbox's mounts: %w", err)
	}
	return nil
}

func startProgram(files []*os.File) (pid int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find this program: %w", err)
	}
	p, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), roleVariable+"="+roleProgram, filesVariable+"="+strconv.Itoa(len(files))),
		Files: append([]*os.File{os.Stdin, os.Stdout, os.Stderr}, files...),
	})
	if err != nil {
		return 0, fmt.Errorf("start %s in the sandbox: %w", self, err)
	}
	return p.Pid, nil
}

// reap waits for all children until the program ends, and returns its exit code.
func reap(program int) int {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, fmt.Errorf("wait for the sandbox's processes: %w", err))
			return 1
		case pid == program && (ws.Exited() || ws.Signaled()):
			return exitCode(ws)
		}
	}
}
