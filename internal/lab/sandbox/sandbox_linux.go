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

// roleVariable tells a process that Run started what it is. Init takes it out
// of the environment, so nothing started later takes itself for one.
const (
	roleVariable  = "BAKERY_LAB_SANDBOX"
	filesVariable = "BAKERY_LAB_SANDBOX_FILES"

	roleInit       = "init"            // PID 1 of the namespaces, in a process group of its own
	roleForeground = "init-foreground" // the same, but the terminal signals it itself
	roleProgram    = "program"         // the program that was asked for
)

var inside struct {
	yes   bool
	files []*os.File
}

// Init must be called first in main, and in TestMain of a test that calls Run.
// In the sandbox's PID 1 it does PID 1's work and never returns; in the program
// it notes what Inside and Files say; elsewhere it does nothing.
func Init() {
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	count, _ := strconv.Atoi(os.Getenv(filesVariable))
	files := make([]*os.File, count)
	for i := range files {
		// The first three are the standard streams. None may reach what is started later.
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

// Inside says whether this process is the program that Run was asked for.
func Inside() bool { return inside.yes }

// Files are the files given to Run, inside.
func Files() []*os.File { return inside.files }

// Run runs this very executable with argv (argv[0] is only a name) in PID and
// mount namespaces of its own, with the standard streams and files, and waits
// for it. Signals are passed on. When it ends, or this process does by whatever
// signal, every process in there is killed and every mount made in there is
// gone. exit is the program's exit status, 128 plus the signal's number when
// a signal ended it. It needs root.
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

// Child is Run without namespaces, for a program that makes no mounts and whose processes end with
// it. It needs no root.
func Child(argv []string, files []*os.File) (exit int, err error) {
	if exit, err = run(argv, files, roleProgram, 0); err != nil {
		err = fmt.Errorf("start the lab: %w", err)
	}
	return exit, err
}

func run(argv []string, files []*os.File, role string, namespaces uintptr) (exit int, err error) {
	// The parent of Pdeathsig is a thread, which must not end before the process.
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
	signals := notify(role)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			_ = cmd.Process.Signal(sig) // it may have ended just now
		case err := <-done:
			return status(err)
		}
	}
}

// status tells a program that failed from a wait that did.
func status(err error) (int, error) {
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) {
		return 0, err
	}
	ws, _ := exit.Sys().(syscall.WaitStatus)
	return exitCode(ws), nil
}

func exitCode(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal()) // as a shell says it
	}
	return ws.ExitStatus()
}

// notify gives the signals to pass on. What is typed at a terminal reaches the
// whole foreground process group by itself; passing it on as well would make two
// of one Ctrl-C, and the second means "now" to many programs.
func notify(role string) chan os.Signal {
	c := make(chan os.Signal, 16)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	if role == roleForeground {
		typed := make(chan os.Signal, 1)
		signal.Notify(typed, syscall.SIGINT, syscall.SIGQUIT) // survive it, to give the program's exit status
	} else {
		signal.Notify(c, syscall.SIGINT, syscall.SIGQUIT)
	}
	return c
}

// foreground says whether a terminal signals this process group.
func foreground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer func() { _ = tty.Close() }()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
