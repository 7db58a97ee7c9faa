// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
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
	// buttonInterval is the time between two presses of the power button. A machine ignores it before logind has
	// started, and twice has the same effect as once.
	buttonInterval = 3 * time.Second
	// outputLimit is how long QEMU's children may keep its output open after its end.
	outputLimit = 2 * time.Second
)

// vm is a virtual machine. QEMU does not end at a reboot.
type vm struct {
	runner Runner
	spec   machine.Spec
	self   string // this executable
	dir    string // of the machine's files

	forwards []forward
	sockets  *sockets
	monitor  *monitor

	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan error

	mu           sync.Mutex
	endRequested bool // Stop or Kill was called

	exit machine.Exit
	done chan struct{}
}

// Start creates the initrd and the network, and boots.
func (r Runner) Start(ctx context.Context, s machine.Spec) (machine.Machine, error) {
	if r.Kernel.Image == "" {
		return nil, errNoKernel
	}
	if err := machine.CheckID(s.ID); err != nil {
		return nil, err
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
	go m.waitForEnd()
	return m, nil
}

// prepare creates all that a boot needs. After an error, m has what was created before, for release.
func (m *vm) prepare() (err error) {
	if m.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if m.dir, err = os.MkdirTemp("", "bakery-lab-"+m.spec.ID+"-"); err != nil {
		return fmt.Errorf("make its directory: %w", err)
	}
	var relays []string
	if m.sockets, m.forwards, relays, err = openSockets(m.dir, m.spec.Listeners); err != nil {
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
	p := initrd.Program{Path: cmp.Or(m.runner.Program, m.self), Machine: m.runner.platform().elf}
	return errors.Join(initrd.Write(f, p, c, m.runner.Kernel.Modules), f.Close())
}

// powerOn starts QEMU. The kernel kills QEMU when the thread that started it ends, so that no machine stays after a lab
// was killed. The thread is kept for that.
func (m *vm) powerOn() error {
	emulator := m.runner.platform().emulator
	m.cmd = exec.Command(emulator.Name, m.arguments()...)
	m.cmd.Stdout, m.cmd.Stderr = m.spec.Console, &m.stderr
	if m.cmd.Stdout == nil {
		m.cmd.Stdout = io.Discard
	}
	m.cmd.ExtraFiles = []*os.File{m.monitor.peer}
	m.cmd.WaitDelay = outputLimit
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
		return fmt.Errorf("start %s (Debian package %s): %w", emulator.Name, emulator.Package, err)
	}
	m.monitor.start()
	return nil
}

// waitForEnd waits for the machine's end and releases its resources.
func (m *vm) waitForEnd() {
	defer close(m.done)
	err := <-m.ended
	<-m.monitor.ended
	m.mu.Lock()
	requested := m.endRequested
	m.mu.Unlock()
	switch {
	case requested:
	case m.monitor.poweredOff():
		m.exit.PoweredOff = true
	default:
		output := errors.New(strings.TrimSpace(m.stderr.String()))
		m.exit.Err = fmt.Errorf("run machine %s: %s ended, and not by the machine's power-off: %w", m.spec.ID,
			m.runner.platform().emulator.Name, errors.Join(err, output))
	}
	m.exit.Err = errors.Join(m.exit.Err, m.release())
}

// release releases all resources.
func (m *vm) release() error {
	if m.monitor != nil {
		m.monitor.close()
	}
	if m.sockets != nil {
		m.sockets.close()
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

// requestEnd records that the machine is being ended by Stop or Kill.
func (m *vm) requestEnd() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endRequested = true
}

// Stop presses the ACPI power button, as EC2 does.
func (m *vm) Stop(ctx context.Context) error {
	m.requestEnd()
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
	m.requestEnd()
	_ = m.cmd.Process.Kill() // fails when it has just ended
	<-m.done
}

// Exec runs a command with the machine's agent.
func (m *vm) Exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	conn, err := m.sockets.agent(ctx)
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

// Dial connects with the machine's agent.
func (m *vm) Dial(ctx context.Context, port int) (net.Conn, error) {
	conn, err := m.sockets.agent(ctx)
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
