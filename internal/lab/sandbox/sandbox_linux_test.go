// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sandbox_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/sandbox"
)

// programVariable makes the test binary run one of programs, in the sandbox, instead of the tests.
const programVariable = "SANDBOX_TEST_PROGRAM"

var programs = map[string]func() int{
	"status":   func() int { return 7 },
	"signaled": func() int { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} },
	"mounts":   mountSomething,
	"orphans":  makeOrphans,
	"wait":     waitForSignal,
	"listener": serveOnce,
	"where":    sayWhere,
	"daemon":   leaveDaemon,
}

func TestMain(m *testing.M) {
	sandbox.Init()
	name := os.Getenv(programVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	if sandbox.Inside() {
		os.Exit(programs[name]())
	}
	var files []*os.File
	if name == "listener" {
		files = append(files, os.NewFile(3, "listener"))
	}
	code, err := sandbox.Run(os.Args, files)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	os.Exit(code)
}

func command(program string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), programVariable+"="+program)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

func mountSomething() int {
	dir := os.Args[1]
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		fmt.Println(err)
		return 1
	}
	if err := os.WriteFile(filepath.Join(dir, "inside"), nil, 0o600); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// makeOrphans starts processes that become orphans, and then children of its own, whose exit status only it may get.
func makeOrphans() int {
	for range 50 {
		if err := exec.Command("sh", "-c", "(sleep 0.01; exit 3) & exit 0").Run(); err != nil {
			fmt.Println(err)
			return 1
		}
		err := exec.Command("sh", "-c", "exit 5").Run()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 5 {
			fmt.Println("lost an exit status:", err)
			return 1
		}
	}
	for { // until all are reaped
		n, err := childrenOfInit()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		if n == 1 {
			return 0
		}
		time.Sleep(time.Millisecond)
	}
}

// childrenOfInit counts the children of PID 1. A child is listed with the thread that started it, which in Go can be
// any.
func childrenOfInit() (n int, err error) {
	lists, _ := filepath.Glob("/proc/1/task/*/children")
	if len(lists) == 0 {
		return 0, errors.New("/proc does not list the children of PID 1")
	}
	for _, list := range lists {
		children, err := os.ReadFile(list)
		// a thread that has just ended
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			return 0, err
		}
		n += len(strings.Fields(string(children)))
	}
	return n, nil
}

func waitForSignal() int {
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	fmt.Println("ready")
	got := (<-c).(syscall.Signal)
	select {
	case <-c:
		return 100 // it got a signal twice
	case <-time.After(100 * time.Millisecond):
		return int(got)
	}
}

func serveOnce() int {
	l, err := net.FileListener(sandbox.Files()[0])
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c, err := l.Accept()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	_, _ = io.WriteString(c, "from inside\n")
	_ = c.Close()
	return 0
}

func sayWhere() int {
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), programVariable+"=status")
	err := child.Run() // without a sandbox of this one: it has its own
	fmt.Println(os.Getpid() < 20, os.Getppid(), err, os.Args[1:])
	return 0
}

func leaveDaemon() int {
	tag := os.Args[1]
	cmd := exec.Command("setsid", "sh", "-c", "trap '' TERM HUP; sleep "+tag+"; true")
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready")
	if len(os.Args) > 2 {
		return 0
	}
	select {}
}

func TestRunReturnsTheProgramsExitStatus(t *testing.T) {
	for program, want := range map[string]int{"status": 7, "signaled": 137, "orphans": 0} {
		t.Run(program, func(t *testing.T) {
			cmd, out := command(program)
			_ = cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != want {
				t.Errorf("exit status %d, want %d\n%s", got, want, out)
			}
		})
	}
}

func TestMountsStayInside(t *testing.T) {
	dir := t.TempDir()
	cmd, out := command("mounts", dir)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "inside")); err == nil {
		t.Error("the sandbox's mount is on the host")
	}
}

func TestTheProgramSeesItsOwnProcessesAndTheArguments(t *testing.T) {
	cmd, out := command("where", "one", "two")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "true 1 exit status 7 [one two]\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestASignalArrivesOnce(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd, _ := command("wait")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			start(t, cmd)
			if err := syscall.Kill(-cmd.Process.Pid, sig); err != nil { // the whole process group, as many programs do
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != int(sig) {
				t.Errorf("the program says %d, want %d", got, sig)
			}
		})
	}
}

func TestAListenerIsInherited(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	cmd, out := command("listener")
	cmd.ExtraFiles = []*os.File{f}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "from inside\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNoProcessOutlivesTheSandbox(t *testing.T) {
	ends := map[string]func(*exec.Cmd){
		"its parent is killed":  func(cmd *exec.Cmd) { _ = cmd.Process.Kill(); _ = cmd.Wait() },
		"the program just ends": func(cmd *exec.Cmd) { _ = cmd.Wait() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			tag := fmt.Sprintf("%d.%d", 100000+os.Getpid(), len(name))
			args := []string{tag}
			if strings.Contains(name, "ends") {
				args = append(args, "end")
			}
			cmd, _ := command("daemon", args...)
			start(t, cmd)
			end(cmd)
			for limit := time.Now().Add(5 * time.Minute); running(t, tag); time.Sleep(time.Millisecond) {
				if time.Now().After(limit) {
					t.Fatal("a daemon of the sandbox still runs")
				}
			}
		})
	}
}

// start starts cmd and waits until it prints that it is ready.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("got %q, %v", line, err)
	}
}

// running reports whether a process has tag as an argument.
func running(t *testing.T, tag string) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if line, err := os.ReadFile(f); err == nil && bytes.Contains(line, []byte("\x00"+tag+"\x00")) {
			return true
		}
	}
	return false
}
