// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// roleVariable has the role of a process that Run has started. Init removes it from the environment, so that processes
// which are started later have no role.
const (
	roleVariable  = "BAKERY_LAB_SANDBOX"
	filesVariable = "BAKERY_LAB_SANDBOX_FILES"

	roleInit       = "init"            // PID 1 of the namespaces, in a process group of its own
	roleForeground = "init-foreground" // the same, but it gets the terminal's signals
	roleProgram    = "program"         // the program to run
)

var inside struct {
	yes   bool
	files []*os.File
}

// Init must be called first in main, and in TestMain of a test that calls Run. In the sandbox's PID 1 it does the work
// of PID 1 and never returns; in the program it sets what Inside and Files return; elsewhere it does nothing.
func Init() {
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	count, _ := strconv.Atoi(os.Getenv(filesVariable))
	files := make([]*os.File, count)
	for i := range files {
		// The first three are the standard streams. Processes that are started later must not get any.
		syscall.CloseOnExec(3 + i)
		files[i] = os.NewFile(uintptr(3+i), "inherited"+strconv.Itoa(i))
	}
	_ = os.Unsetenv(roleVariable)
	_ = os.Unsetenv(filesVariable)
	if role == roleProgram {
		inside.yes, inside.files = true, files
		return
	}
	os.Exit(runInit(role, files))
}

// Inside reports whether this process is the program that Run has started.
func Inside() bool { return inside.yes }

// Files returns the files of Run, in the program.
func Files() []*os.File { return inside.files }

// Run runs this executable with argv (argv[0] is only a name) in PID and mount namespaces of its own, with the standard
// streams and files, and waits for it. It forwards signals. When the program ends, or this process by any signal, the
// kernel kills all processes in the sandbox and removes its mounts. exit is the program's exit status, or 128 plus the
// number of the signal that ended it. Run needs root.
func Run(argv []string, files []*os.File) (exit int, err error) {
	role := roleInit
	if foreground() {
		role = roleForeground
	}
	exit, err = run(argv, files, role, syscall.CLONE_NEWPID|syscall.CLONE_NEWNS)
	if err != nil {
		err = fmt.Errorf("start a sandbox (new PID and mount namespaces; it needs root, try sudo): %w", err)
	}
	return exit, err
}

// Child is Run without namespaces, for a program that makes no mounts and whose processes end with it. It does not need
// root.
func Child(argv []string, files []*os.File) (exit int, err error) {
	if exit, err = run(argv, files, roleProgram, 0); err != nil {
		err = fmt.Errorf("start the lab: %w", err)
	}
	return exit, err
}

func run(argv []string, files []*os.File, role string, namespaces uintptr) (exit int, err error) {
	// For Pdeathsig the parent is a thread, which must not end before the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = argv
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = files
	cmd.Env = append(os.Environ(), roleVariable+"="+role, filesVariable+"="+strconv.Itoa(len(files)))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: namespaces,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    role != roleForeground,
	}
	signals := signalsToForward(role)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			_ = cmd.Process.Signal(sig) // fails when it has just ended
		case err := <-done:
			return exitStatus(err)
		}
	}
}

// exitStatus returns the exit status of a program, or the error of waiting for it.
func exitStatus(err error) (int, error) {
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) {
		return 0, err
	}
	ws, _ := exit.Sys().(syscall.WaitStatus)
	return exitCode(ws), nil
}

func exitCode(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal()) // as in a shell
	}
	return ws.ExitStatus()
}

// signalsToForward returns a channel of the signals to forward. Ctrl-C at a terminal signals the whole foreground
// process group. It is not forwarded, because a second one has another meaning for many programs.
func signalsToForward(role string) chan os.Signal {
	c := make(chan os.Signal, 16)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	if role == roleForeground {
		typed := make(chan os.Signal, 1)
		signal.Notify(typed, syscall.SIGINT, syscall.SIGQUIT) // ignore these, to return the program's exit status
	} else {
		signal.Notify(c, syscall.SIGINT, syscall.SIGQUIT)
	}
	return c
}

// foreground reports whether a terminal signals this process group.
func foreground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer func() { _ = tty.Close() }()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
