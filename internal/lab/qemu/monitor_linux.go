// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// monitor speaks QMP, QEMU's control protocol, a JSON object a line
// (https://www.qemu.org/docs/master/interop/qmp-spec.html).
type monitor struct {
	conn net.Conn
	peer *os.File // for QEMU

	mu       sync.Mutex
	guestOff bool // the guest itself powered the machine off

	ended chan struct{} // closed when QEMU is gone
}

// openMonitor makes the connection. It is a pair of sockets, so that there is no path for others to find.
func openMonitor() (*monitor, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make QEMU's monitor: %w", err)
	}
	own, peer := os.NewFile(uintptr(pair[0]), "monitor"), os.NewFile(uintptr(pair[1]), "monitor")
	conn, err := net.FileConn(own)
	if err := errors.Join(err, own.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("make QEMU's monitor: %w", err), peer.Close())
	}
	return &monitor{conn: conn, peer: peer, ended: make(chan struct{})}, nil
}

// started lets go of QEMU's end and reads what it says until it is gone.
func (m *monitor) started() {
	_ = m.peer.Close()
	go m.listen()
	m.command("qmp_capabilities") // the greeting that comes first may be read later
}

func (m *monitor) listen() {
	defer close(m.ended)
	for in := json.NewDecoder(m.conn); ; {
		var said struct {
			Event string `json:"event"`
			Data  struct {
				Guest  bool   `json:"guest"`
				Reason string `json:"reason"`
			} `json:"data"`
		}
		if in.Decode(&said) != nil {
			return
		}
		if said.Event == "SHUTDOWN" && said.Data.Guest && said.Data.Reason == "guest-shutdown" {
			m.mu.Lock()
			m.guestOff = true
			m.mu.Unlock()
		}
	}
}

// command sends a command without arguments. What comes of it is seen in what the machine does.
func (m *monitor) command(name string) {
	_, _ = fmt.Fprintf(m.conn, "{\"execute\":%q}\n", name) // a QEMU that is gone needs no command
}

// poweredOff says, after ended, whether the guest powered the machine off.
func (m *monitor) poweredOff() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.guestOff
}

func (m *monitor) close() { _, _ = m.conn.Close(), m.peer.Close() }
