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
)

// runAgent serves until the machine's system ends it. It lives below the disk's root directory, so that it
// sees what the machine sees, and needs nothing of it but what it is asked to run.
func runAgent(c Config) error {
	if err := errors.Join(unix.Chroot(root), unix.Chdir("/"), os.Setenv("PATH", path)); err != nil {
		return fmt.Errorf("enter the disk: %w", err)
	}
	for at, address := range c.Relays {
		if err := relay(address, lab(RelayTo+at)); err != nil {
			return fmt.Errorf("listen on %s: %w", address, err)
		}
	}
	ready := os.NewFile(3, "ready")
	_, err := ready.WriteString(".")
	if err := errors.Join(err, ready.Close()); err != nil {
		return fmt.Errorf("report to the initrd: %w", err)
	}
	_ = syscall.Dup3(0, 1, 0) // the console is the machine's from here; 0 is /dev/null
	_ = syscall.Dup3(0, 2, 0)
	for {
		takeJob()
	}
}

// lab is the lab's address for a port.
func lab(port int) string { return net.JoinHostPort(Lab, strconv.Itoa(port)) }

// relay listens on an address of the machine and hands connections on.
func relay(address, to string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	// An alias, so that the interface's own address stays; systemd brings up what is there.
	own, name := netip.MustParseAddr("127.0.0.1"), "lo"
	if err := up(name, own, 8); err != nil {
		return err
	}
	if !at.Addr().IsLoopback() {
		if err := up("lo:"+strconv.Itoa(int(at.Port())), at.Addr(), 32); err != nil {
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
				time.Sleep(retry) // out of descriptors, perhaps
				continue
			}
			go handOn(conn, to)
		}
	}()
	return nil
}

// retry is the pause after a failure that may pass, such as a network that is being configured.
const retry = 500 * time.Millisecond

func handOn(conn net.Conn, to string) {
	there, err := net.Dial("tcp4", to)
	if err != nil {
		_ = conn.Close()
		return
	}
	join(conn, there)
}

// join copies both ways until both are done, and closes both.
func join(a, b net.Conn) {
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

// takeJob keeps one connection at the lab that waits for a job.
func takeJob() {
	conn, err := net.Dial("tcp4", lab(JobPort))
	if err != nil {
		time.Sleep(retry)
		return
	}
	kind, text, err := readFrame(conn)
	if err != nil || kind != frameJob {
		_ = conn.Close()
		time.Sleep(retry)
		return
	}
	go do(text, conn)
}

// do does the job that text describes.
func do(text []byte, conn net.Conn) {
	back := &frames{w: conn}
	var j job
	if err := json.Unmarshal(text, &j); err != nil {
		_ = back.write(frameFail, []byte(err.Error()))
		_ = conn.Close()
		return
	}
	if j.Argv != nil {
		kind, p := execute(j.Argv, conn, back)
		_ = back.write(kind, p)
		_ = conn.Close()
		return
	}
	there, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(j.Port)))
	if err != nil {
		_ = back.write(frameFail, []byte(err.Error()))
		_ = conn.Close()
		return
	}
	if back.write(frameReady, nil) == nil {
		join(conn, there)
	}
}

// execute runs a command and gives the frame to end with.
func execute(argv []string, conn net.Conn, back *frames) (byte, []byte) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Env = environment
	cmd.Stdout, cmd.Stderr = back.of(frameOut), back.of(frameErr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second // what it leaves in the background does not keep its streams
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return frameFail, []byte(err.Error())
	}
	go func() {
		feed(conn, input)
		cancel() // whoever asked went away
	}()
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return frameFail, []byte(err.Error())
	}
	status := cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		status = 128 + int(ws.Signal()) // as a shell says it
	}
	return frameExit, []byte(strconv.Itoa(status))
}

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment of commands: clean, as that of a service.
var environment = []string{
	"PATH=" + path,
	"HOME=/root", "USER=root", "LOGNAME=root", "LANG=C.UTF-8", "TERM=dumb",
}

// feed writes the input frames to the command until the connection ends.
func feed(conn io.Reader, input io.WriteCloser) {
	for {
		kind, p, err := readFrame(conn)
		if err != nil {
			return
		}
		if kind != frameIn {
			continue
		}
		if len(p) == 0 {
			_ = input.Close()
			continue
		}
		_, _ = input.Write(p) // a command that does not read its input loses it
	}
}
