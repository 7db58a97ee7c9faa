// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package labtest runs the lab for tests, without root: its machines are goroutines, and its disks are small files. The
// test decides what a machine does. Only tests may import it.
package labtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

// Machine is a machine that is a goroutine.
type Machine struct {
	Spec machine.Spec

	ssh      func(net.Conn)
	once     sync.Once
	done     chan struct{}
	exit     machine.Exit
	inFlight sync.RWMutex // held for reading while the machine sends something
}

// Runner starts Machines. Guest runs on each in a goroutine; without it, a machine does nothing until it is stopped.
type Runner struct {
	Guest func(m *Machine)
	SSH   func(net.Conn) // serves connections to TCP port 22, in a goroutine for each; nil: nothing listens there
	Fail  error          // error of Start
}

// Start implements machine.Runner.
func (r Runner) Start(_ context.Context, s machine.Spec) (machine.Machine, error) {
	if r.Fail != nil {
		return nil, r.Fail
	}
	m := &Machine{Spec: s, ssh: r.SSH, done: make(chan struct{})}
	if r.Guest != nil {
		go r.Guest(m)
	}
	return m, nil
}

// PowerOff ends the machine as when it shuts itself down.
func (m *Machine) PowerOff() { m.end(machine.Exit{PoweredOff: true}) }

// Crash ends the machine as when its runner fails.
func (m *Machine) Crash() { m.end(machine.Exit{Err: errors.New("crashed")}) }

func (m *Machine) end(e machine.Exit) {
	m.once.Do(func() {
		m.exit = e
		m.inFlight.Lock()
		defer m.inFlight.Unlock()
		close(m.done)
	})
}

// transfer sends something, unless the machine has ended. The machine does not end before that is complete: otherwise
// the lab could still receive an upload of a machine that has ended.
func (m *Machine) transfer(send func()) {
	m.inFlight.RLock()
	defer m.inFlight.RUnlock()
	select {
	case <-m.done:
	default:
		send()
	}
}

// Done implements machine.Machine, as do Exit, Stop, Kill and Exec.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Exit returns how the machine has ended.
func (m *Machine) Exit() machine.Exit {
	<-m.done
	return m.exit
}

// Stop shuts the machine down.
func (m *Machine) Stop(context.Context) error {
	m.end(machine.Exit{})
	return nil
}

// Kill ends the machine.
func (m *Machine) Kill() { m.end(machine.Exit{}) }

// Exec writes the input, or without input the command's words, to stdout. The command false fails.
func (m *Machine) Exec(_ context.Context, argv []string, in io.Reader, out, _ io.Writer) error {
	if in != nil {
		_, err := io.Copy(out, in)
		return err
	}
	if argv[0] == "false" {
		return errors.New("exit status 1")
	}
	_, err := fmt.Fprintln(out, argv)
	return err
}

// Dial connects to the SSH server.
func (m *Machine) Dial(_ context.Context, port int) (net.Conn, error) {
	if port != 22 || m.ssh == nil {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	go m.ssh(far)
	return near, nil
}

// Print writes to the machine's console.
func (m *Machine) Print(text string) { _, _ = io.WriteString(m.Spec.Console, text) }

// Metadata returns the status and the body of a GET of the machine's metadata service, without a token.
func (m *Machine) Metadata(path string) (int, string) {
	w := httptest.NewRecorder()
	m.Spec.Listeners[0].Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// AppendDisk appends to the machine's disk.
func (m *Machine) AppendDisk(text string) error {
	f, err := os.OpenFile(m.Spec.Disk, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// Disks copies small files, and does not grow them.
func Disks() cloud.Disks {
	return cloud.Disks{
		Clone: func(src, dst string) error {
			b, err := os.ReadFile(src)
			if err != nil {
				return err
			}
			return os.WriteFile(dst, b, 0o600)
		},
		Grow: func(context.Context, string, int64) error { return nil },
	}
}

// Base creates base images that contain the name of their suite.
func Base(dir string) func(context.Context, string) (string, error) {
	return func(_ context.Context, suite string) (string, error) {
		path := filepath.Join(dir, suite)
		return path, os.WriteFile(path, []byte(suite+"\n"), 0o600)
	}
}

// Lab is a lab and its server on 127.0.0.1.
type Lab struct {
	*lab.Lab
	URL string
	Dir string // directory of its images
}

// Start serves a lab until the test ends. It sets defaults for options that are zero.
func Start(t *testing.T, o lab.Options) *Lab {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	if o.Runner == nil {
		o.Runner = Runner{}
	}
	if o.Images == "" {
		o.Images = t.TempDir()
	}
	o.Run, o.Disks, o.Base = t.TempDir(), Disks(), Base(t.TempDir())
	o.Address, o.Log = server.Listener.Addr().String(), io.Discard
	l, err := lab.New(o)
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = l
	server.Start()
	t.Cleanup(func() {
		server.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Lab{Lab: l, URL: server.URL, Dir: o.Images}
}

// Value returns a variable of the lab's environment.
func (l *Lab) Value(name string) string {
	for _, v := range l.Env() {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}
