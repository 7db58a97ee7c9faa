// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// container is a machine run by systemd-nspawn.
type container struct {
	spec Spec
	name string
	dir  string // its own directory: root/, resolv.conf

	unmount  func() error
	network  *network
	internet *internet
	groups   groups
	lock     *os.File // see claim

	tail    tail // of the console, for errors
	console *console

	mu    sync.Mutex
	boot  *boot // the present one
	asked bool  // Stop or Kill was called: it is not to boot again

	exit Exit
	done chan struct{}
}

func (m *container) Done() <-chan struct{} { return m.done }

func (m *container) Exit() Exit {
	<-m.done
	return m.exit
}

// powerOn boots, unless it is to end.
func (m *container) powerOn() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asked {
		return errAsked
	}
	out := io.Writer(&m.tail)
	if m.spec.Console != nil {
		out = io.MultiWriter(&m.tail, m.spec.Console)
	}
	c, err := openConsole(out)
	if err != nil {
		return err
	}
	// From inside the machine's network, or its /sys would show the host's interfaces.
	var b *boot
	err = within(m.network.namespace, func() (err error) {
		b, err = startBoot(m.groups, m.arguments(), c.terminal)
		return err
	})
	if err != nil {
		c.close()
		return err
	}
	c.started()
	m.console, m.boot = c, b
	return nil
}

// errAsked ends live's loop when Stop or Kill came during a reboot.
var errAsked = errors.New("it was asked to end")

// live waits for the machine's end, through reboots, and gives everything back.
func (m *container) live() {
	defer close(m.done)
	for {
		b := m.present()
		<-b.ended
		m.console.close()
		if status(b.err) == rebooted {
			err := m.powerOn()
			if err == nil {
				continue
			}
			if !errors.Is(err, errAsked) {
				m.exit.Err = fmt.Errorf("boot machine %s again: %w", m.spec.ID, err)
			}
		} else {
			m.judge(b.err)
		}
		m.exit.Err = errors.Join(m.exit.Err, m.release())
		return
	}
}

// judge says what the end of the last boot means.
func (m *container) judge(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.asked:
	case err == nil:
		m.exit.PoweredOff = true
	default:
		m.exit.Err = fmt.Errorf("run machine %s: systemd-nspawn: %w; the console ended with:\n%s", m.spec.ID, err, m.tail.String())
	}
}

func (m *container) present() *boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boot
}

// end notes that the machine is not to boot again and gives the present boot.
func (m *container) end() *boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = true
	return m.boot
}

func (m *container) Stop(ctx context.Context) error {
	b := m.end()
	b.powerOff(ctx)
	if ctx.Err() != nil {
		b.kill()
	}
	<-m.done
	return m.exit.Err
}

func (m *container) Kill() {
	m.end().kill()
	<-m.done
}

func (m *container) Exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	err := m.present().exec(ctx, argv, stdin, stdout, stderr)
	if err != nil {
		return fmt.Errorf("run %s in machine %s: %w", strings.Join(argv, " "), m.spec.ID, err)
	}
	return nil
}

// Dial connects from inside the machine's network, by its loopback interface.
func (m *container) Dial(ctx context.Context, port int) (conn net.Conn, err error) {
	err = within(m.network.namespace, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to port %d of machine %s: %w", port, m.spec.ID, err)
	}
	return conn, nil
}

// status is an exit status, 0 for nil, -1 for what is none.
func status(err error) int {
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// tailSize is enough for a dozen lines.
const tailSize = 1024

// tail keeps the end of what is written to it.
type tail struct{ end []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.end = append(t.end, p...)
	if over := len(t.end) - tailSize; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.end)) }
