// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/initrd"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

const (
	initrdName = "initrd"
	// buttonInterval: a guest that has not started logind yet does not hear the power button, and
	// pressing it twice is no more than once.
	buttonInterval = 3 * time.Second
	// strayLimit is how long QEMU's children may keep its output open after its end.
	strayLimit = 2 * time.Second
)

// vm is one virtual machine. Reboots stay inside QEMU.
type vm struct {
	runner Runner
	spec   machine.Spec
	self   string // this executable
	dir    string // its own directory

	forwards []forward
	doors    *doors
	monitor  *monitor

	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan error

	mu    sync.Mutex
	asked bool // Stop or Kill was called

	exit machine.Exit
	done chan struct{}
}

var validID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$`)

// Start makes the initrd and the network and boots.
func (r Runner) Start(ctx context.Context, s machine.Spec) (machine.Machine, error) {
	if r.Kernel.Image == "" {
		return nil, errNoKernel
	}
	if !validID.MatchString(s.ID) {
		return nil, fmt.Errorf("start machine %q: its id becomes a file name: lower-case letters, digits and dashes, at most 50", s.ID)
	}
	m := &vm{runner: r, spec: s, ended: make(chan error, 1), done: make(chan struct{})}
	err := m.prepare()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = m.powerOn()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start machine %s: %w", s.ID, err), m.release())
	}
	go m.live()
	return m, nil
}

// prepare gets everything a boot needs. What it got before an error is in m, for release.
func (m *vm) prepare() (err error) {
	if m.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if m.dir, err = os.MkdirTemp("", "bakery-lab-"+m.spec.ID+"-"); err != nil {
		return fmt.Errorf("make its directory: %w", err)
	}
	var relays []string
	if m.doors, m.forwards, relays, err = openDoors(m.dir, m.spec.Listeners); err != nil {
		return err
	}
	if err := m.writeInitrd(initrd.Config{Relays: relays, Internet: m.spec.Internet}); err != nil {
		return err
	}
	m.monitor, err = openMonitor()
	return err
}

func (m *vm) path(name string) string { return filepath.Join(m.dir, name) }

func (m *vm) writeInitrd(c initrd.Config) error {
	f, err := os.OpenFile(m.path(initrdName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make an initrd: %w", err)
	}
	return errors.Join(initrd.Write(f, c, m.runner.Kernel.Modules), f.Close())
}

// powerOn starts QEMU. It dies with the thread that started it, which is kept for that, so that a lab
// that is killed leaves no machine.
func (m *vm) powerOn() error {
	m.cmd = exec.Command(emulator, m.arguments()...)
	m.cmd.Stdout, m.cmd.Stderr = m.spec.Console, &m.stderr
	if m.cmd.Stdout == nil {
		m.cmd.Stdout = io.Discard
	}
	m.cmd.ExtraFiles = []*os.File{m.monitor.peer}
	m.cmd.WaitDelay = strayLimit
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := m.cmd.Start()
		started <- err
		if err == nil {
			m.ended <- m.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s (Debian package qemu-system-x86): %w", emulator, err)
	}
	m.monitor.started()
	return nil
}

// live waits for the machine's end and gives everything back.
func (m *vm) live() {
	defer close(m.done)
	err := <-m.ended
	<-m.monitor.ended
	m.mu.Lock()
	asked := m.asked
	m.mu.Unlock()
	switch {
	case asked:
	case m.monitor.poweredOff():
		m.exit.PoweredOff = true
	default:
		said := errors.New(strings.TrimSpace(m.stderr.String()))
		m.exit.Err = fmt.Errorf("run machine %s: %s ended, and not by the machine's power-off: %w", m.spec.ID, emulator, errors.Join(err, said))
	}
	m.exit.Err = errors.Join(m.exit.Err, m.release())
}

// release gives everything back.
func (m *vm) release() error {
	if m.monitor != nil {
		m.monitor.close()
	}
	if m.doors != nil {
		m.doors.close()
	}
	if m.dir == "" {
		return nil
	}
	return os.RemoveAll(m.dir)
}

func (m *vm) Done() <-chan struct{} { return m.done }

func (m *vm) Exit() machine.Exit {
	<-m.done
	return m.exit
}

// end notes that whatever comes was asked for.
func (m *vm) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = true
}

// Stop presses the ACPI power button, as EC2 does.
func (m *vm) Stop(ctx context.Context) error {
	m.end()
	tick := time.NewTicker(buttonInterval)
	defer tick.Stop()
	for {
		m.monitor.command("system_powerdown")
		select {
		case <-m.done:
			return m.exit.Err
		case <-ctx.Done():
			m.Kill()
			return m.exit.Err
		case <-tick.C:
		}
	}
}

func (m *vm) Kill() {
	m.end()
	_ = m.cmd.Process.Kill() // it may have ended just now
	<-m.done
}

// Exec runs a command by way of the machine's agent.
func (m *vm) Exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	conn, err := m.doors.agent(ctx)
	if err == nil {
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		err = initrd.Exec(conn, argv, stdin, stdout, stderr)
	}
	if err != nil {
		return fmt.Errorf("run %s in machine %s: %w", strings.Join(argv, " "), m.spec.ID, err)
	}
	return nil
}

// Dial connects by way of the machine's agent.
func (m *vm) Dial(ctx context.Context, port int) (net.Conn, error) {
	conn, err := m.doors.agent(ctx)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		if err = initrd.Connect(conn, port); err != nil || !stop() {
			_ = conn.Close()
			err = errors.Join(err, ctx.Err())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to port %d of machine %s: %w", port, m.spec.ID, err)
	}
	return conn, nil
}
