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

// container is a machine that systemd-nspawn runs.
type container struct {
	spec Spec
	name string
	dir  string // with root/ and resolv.conf

	unmount  func() error
	network  *network
	internet *internet
	groups   groups
	lock     *os.File // see claim

	tail    tail // end of the console, for errors
	console *console

	mu           sync.Mutex
	boot         *boot // the current one
	endRequested bool  // Stop or Kill was called: do not boot again

	exit Exit
	done chan struct{}
}

func (m *container) Done() <-chan struct{} { return m.done }

func (m *container) Exit() Exit {
	<-m.done
	return m.exit
}

// powerOn boots, unless Stop or Kill was called.
func (m *container) powerOn() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.endRequested {
		return errEndRequested
	}
	out := io.Writer(&m.tail)
	if m.spec.Console != nil {
		out = io.MultiWriter(&m.tail, m.spec.Console)
	}
	c, err := openConsole(out)
	if err != nil {
		return err
	}
	// From inside the machine's network; otherwise its /sys would show this computer's interfaces.
	var b *boot
	err = inNamespace(m.network.namespace, func() (err error) {
		b, err = startBoot(m.groups, m.arguments(), c.terminal)
		return err
	})
	if err != nil {
		c.close()
		return err
	}
	c.closeTerminal()
	m.console, m.boot = c, b
	return nil
}

// errEndRequested ends the loop of waitForEnd when Stop or Kill is called during a reboot.
var errEndRequested = errors.New("it was asked to end")

// waitForEnd waits for the machine's end, through reboots, and releases its resources.
func (m *container) waitForEnd() {
	defer close(m.done)
	for {
		b := m.currentBoot()
		<-b.ended
		m.console.close()
		if status(b.err) == rebooted {
			err := m.powerOn()
			if err == nil {
				continue
			}
			if !errors.Is(err, errEndRequested) {
				m.exit.Err = fmt.Errorf("boot machine %s again: %w", m.spec.ID, err)
			}
		} else {
			m.setExit(b.err)
		}
		m.exit.Err = errors.Join(m.exit.Err, m.release())
		return
	}
}

// setExit sets how the machine has ended, by the end of its last boot.
func (m *container) setExit(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.endRequested:
	case err == nil:
		m.exit.PoweredOff = true
	default:
		m.exit.Err = fmt.Errorf("run machine %s: systemd-nspawn: %w%s; the console ended with:\n%s", m.spec.ID, err,
			inotifyHint(m.tail.String()), m.tail.String())
	}
}

// inotifyHint says what to do when systemd on a machine cannot watch files, because this computer's root user has too
// many watchers: those of all machines together. It is "" for any other end.
func inotifyHint(console string) string {
	if !strings.Contains(console, "Too many open files") {
		return ""
	}
	return ": too many machines run on this computer: end some, or raise its limit with " +
		"sysctl fs.inotify.max_user_instances=1024"
}

func (m *container) currentBoot() *boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boot
}

// requestEnd prevents that the machine boots again, and returns the current boot.
func (m *container) requestEnd() *boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endRequested = true
	return m.boot
}

func (m *container) Stop(ctx context.Context) error {
	b := m.requestEnd()
	b.powerOff(ctx)
	if ctx.Err() != nil {
		b.kill()
	}
	<-m.done
	return m.exit.Err
}

func (m *container) Kill() {
	m.requestEnd().kill()
	<-m.done
}

func (m *container) Exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	err := m.currentBoot().exec(ctx, m.groups, argv, stdin, stdout, stderr)
	if err != nil {
		return fmt.Errorf("run %s in machine %s: %w", strings.Join(argv, " "), m.spec.ID, err)
	}
	return nil
}

// Dial connects from inside the machine's network, to its loopback interface.
func (m *container) Dial(ctx context.Context, port int) (conn net.Conn, err error) {
	err = inNamespace(m.network.namespace, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to port %d of machine %s: %w", port, m.spec.ID, err)
	}
	return conn, nil
}

// status returns the exit status of an error; 0 for nil, -1 for other errors.
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

// tailSize is about a dozen lines.
const tailSize = 1024

// tail stores the end of what is written to it.
type tail struct{ end []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.end = append(t.end, p...)
	if over := len(t.end) - tailSize; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.end)) }
