// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package initrd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/frame"
)

// runAgent serves until the machine's system ends it. Its root directory is the disk's, so that it has the same files
// as the machine. It needs no file of the disk but the commands that it is asked to run.
func runAgent(c Config) error {
	if err := errors.Join(unix.Chroot(root), unix.Chdir("/"), os.Setenv("PATH", path)); err != nil {
		return fmt.Errorf("enter the disk: %w", err)
	}
	for at, address := range c.Relays {
		if err := relay(address, labAddress(RelayTo+at)); err != nil {
			return fmt.Errorf("listen on %s: %w", address, err)
		}
	}
	ready := os.NewFile(3, "ready")
	_, err := ready.WriteString(".")
	if err := errors.Join(err, ready.Close()); err != nil {
		return fmt.Errorf("report to the initrd: %w", err)
	}
	_ = syscall.Dup3(0, 1, 0) // the console is for the machine from here on; 0 is /dev/null
	_ = syscall.Dup3(0, 2, 0)
	for {
		waitForJob()
	}
}

// labAddress returns the lab's address for a port.
func labAddress(port int) string { return net.JoinHostPort(Lab, strconv.Itoa(port)) }

// relay listens on an address of the machine and forwards connections to the lab.
func relay(address, to string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	// An alias, so that the interface keeps its own address.
	own, name := netip.MustParseAddr("127.0.0.1"), "lo"
	if err := bringUp(name, own, 8); err != nil {
		return err
	}
	if !at.Addr().IsLoopback() {
		if err := bringUp("lo:"+strconv.Itoa(int(at.Port())), at.Addr(), 32); err != nil {
			return err
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", address)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				time.Sleep(retry) // too many open files, perhaps
				continue
			}
			go forwardTo(conn, to)
		}
	}()
	return nil
}

// retry is the pause after an error that may be temporary, such as while the network is being configured.
const retry = 500 * time.Millisecond

func forwardTo(conn net.Conn, to string) {
	there, err := net.Dial("tcp4", to)
	if err != nil {
		_ = conn.Close()
		return
	}
	copyBothWays(conn, there)
}

// copyBothWays copies until both directions have ended, and closes both connections.
func copyBothWays(a, b net.Conn) {
	done := make(chan struct{})
	copyTo := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	go func() {
		copyTo(a, b)
		close(done)
	}()
	copyTo(b, a)
	<-done
	_, _ = a.Close(), b.Close()
}

// waitForJob opens a connection to the lab, waits there for a job and starts it.
func waitForJob() {
	conn, err := net.Dial("tcp4", labAddress(JobPort))
	if err != nil {
		time.Sleep(retry)
		return
	}
	kind, text, err := frame.Read(conn)
	if err != nil || kind != frameJob {
		_ = conn.Close()
		time.Sleep(retry)
		return
	}
	go handleJob(text, conn)
}

// handleJob does a job, which is JSON.
func handleJob(text []byte, conn net.Conn) {
	back := frame.NewWriter(conn)
	var j job
	if err := json.Unmarshal(text, &j); err != nil {
		_ = back.Write(frame.Fail, []byte(err.Error()))
		_ = conn.Close()
		return
	}
	if j.Argv != nil {
		kind, p := execute(j.Argv, conn, back)
		_ = back.Write(kind, p)
		_ = conn.Close()
		return
	}
	there, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(j.Port)))
	if err != nil {
		_ = back.Write(frame.Fail, []byte(err.Error()))
		_ = conn.Close()
		return
	}
	if back.Write(frameReady, nil) == nil {
		copyBothWays(conn, there)
	}
}

// execute runs a command and returns the last frame.
func execute(argv []string, conn net.Conn, back *frame.Writer) (byte, []byte) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Env = environment
	cmd.Stdout, cmd.Stderr = back.Stream(frame.Out), back.Stream(frame.Err)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second // processes in the background may keep the streams open
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return frame.Fail, []byte(err.Error())
	}
	go func() {
		writeInput(conn, input)
		cancel() // the lab has closed the connection
	}()
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return frame.Fail, []byte(err.Error())
	}
	status := cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		status = 128 + int(ws.Signal()) // as in a shell
	}
	return frame.Exit, []byte(strconv.Itoa(status))
}

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment of commands: the same as that of a service.
var environment = []string{
	"PATH=" + path,
	"HOME=/root", "USER=root", "LOGNAME=root", "LANG=C.UTF-8", "TERM=dumb",
}

// writeInput writes the input frames to the command until the connection ends.
func writeInput(conn io.Reader, input io.WriteCloser) {
	for {
		kind, p, err := frame.Read(conn)
		if err != nil {
			return
		}
		if kind != frame.In {
			continue
		}
		if len(p) == 0 {
			_ = input.Close()
			continue
		}
		_, _ = input.Write(p) // fails when the command does not read its input
	}
}
