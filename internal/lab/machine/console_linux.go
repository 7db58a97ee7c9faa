// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// consoleColumns is wider than all lines of systemd, because systemd shortens lines to the width of the terminal.
const consoleColumns = 1000

// console is a pseudo-terminal. Its other end is the machine's console.
type console struct {
	terminal *os.File // for systemd-nspawn
	drained  chan struct{}
	master   *os.File
}

// openConsole opens a console and copies what is printed there to w.
func openConsole(w io.Writer) (*console, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a console: %w", err)
	}
	terminal, err := otherEnd(master)
	if err != nil {
		_ = master.Close()
		return nil, fmt.Errorf("open a console: %w", err)
	}
	c := &console{terminal: terminal, master: master, drained: make(chan struct{})}
	go c.drain(w)
	return c, nil
}

// drain copies until EIO, when the last user of the terminal has closed it. It goes on when w fails: a machine stops
// when nobody reads its console.
func (c *console) drain(w io.Writer) {
	defer close(c.drained)
	for buf := make([]byte, 64<<10); ; {
		n, err := c.master.Read(buf)
		if n > 0 {
			_, _ = w.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

func otherEnd(master *os.File) (*os.File, error) {
	conn, err := master.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var failed error
	err = conn.Control(func(m uintptr) {
		if failed = unix.IoctlSetPointerInt(int(m), unix.TIOCSPTLCK, 0); failed != nil {
			return
		}
		size := &unix.Winsize{Row: 50, Col: consoleColumns}
		if failed = unix.IoctlSetWinsize(int(m), unix.TIOCSWINSZ, size); failed != nil {
			return
		}
		// By descriptor, because /dev/pts may be another one in a container.
		peer, _, errno := unix.Syscall(unix.SYS_IOCTL, m, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		if errno != 0 {
			failed = errno
			return
		}
		fd = int(peer)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "console"), nil
}

// closeTerminal closes this process's terminal, when systemd-nspawn has its own.
func (c *console) closeTerminal() { _ = c.terminal.Close() }

// close returns when all that was printed has been written. Processes that have the terminal open after systemd-nspawn
// has ended have a second to close it.
func (c *console) close() {
	_ = c.terminal.Close()
	_ = c.master.SetReadDeadline(time.Now().Add(time.Second))
	<-c.drained
	_ = c.master.Close()
}
