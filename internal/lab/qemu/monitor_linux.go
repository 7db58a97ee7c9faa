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

// monitor is a connection with QMP, QEMU's control protocol, which has a JSON object on each line
// (https://www.qemu.org/docs/master/interop/qmp-spec.html).
type monitor struct {
	conn net.Conn
	peer *os.File // for QEMU

	mu       sync.Mutex
	guestOff bool // the machine has powered itself off

	ended chan struct{} // closed when QEMU has ended
}

// openMonitor opens the connection: a pair of sockets, so that there is no path that others could use.
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

// start closes this process's copy of QEMU's socket, and reads events until QEMU ends.
func (m *monitor) start() {
	_ = m.peer.Close()
	go m.listen()
	m.command("qmp_capabilities") // QEMU's greeting, which comes first, is read by listen
}

func (m *monitor) listen() {
	defer close(m.ended)
	for in := json.NewDecoder(m.conn); ; {
		var event struct {
			Event string `json:"event"`
			Data  struct {
				Guest  bool   `json:"guest"`
				Reason string `json:"reason"`
			} `json:"data"`
		}
		if in.Decode(&event) != nil {
			return
		}
		if event.Event == "SHUTDOWN" && event.Data.Guest && event.Data.Reason == "guest-shutdown" {
			m.mu.Lock()
			m.guestOff = true
			m.mu.Unlock()
		}
	}
}

// command sends a command without arguments. It does not wait for the response.
func (m *monitor) command(name string) {
	_, _ = fmt.Fprintf(m.conn, "{\"execute\":%q}\n", name) // fails only when QEMU has ended
}

// poweredOff reports whether the machine has powered itself off. Call it when ended is closed.
func (m *monitor) poweredOff() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.guestOff
}

func (m *monitor) close() { _, _ = m.conn.Close(), m.peer.Close() }
