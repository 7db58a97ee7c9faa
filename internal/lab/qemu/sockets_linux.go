// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/initrd"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

// jobSocket is the socket at which the machine's agent waits for jobs.
const jobSocket = "jobs"

// sockets are the sockets for the machine's forwarded addresses, in its directory.
type sockets struct {
	dir     *os.File
	agents  chan net.Conn // the connection at which the agent waits, if it does
	servers []*http.Server
	jobs    net.Listener
}

// openSockets listens on a socket for each listener. It returns which addresses QEMU must forward, and on which the
// agent must listen.
func openSockets(dir string, listeners []machine.Listener) (d *sockets, forwards []forward, relays []string,
	err error) {
	d = &sockets{agents: make(chan net.Conn, 1)}
	if d.dir, err = os.Open(dir); err != nil {
		return d, nil, nil, err
	}
	if d.jobs, err = d.listen(jobSocket); err != nil {
		return d, nil, nil, err
	}
	go d.acceptAgents()
	forwards = []forward{{labAddress(initrd.JobPort), jobSocket}}
	for at, l := range listeners {
		socket := "listener" + strconv.Itoa(at)
		f := forward{l.Address, socket}
		if !strings.HasPrefix(l.Address, networkPrefix) {
			f.address = labAddress(initrd.RelayTo + len(relays))
			relays = append(relays, l.Address)
		}
		forwards = append(forwards, f)
		if err := d.serve(socket, l.Handler); err != nil {
			return d, nil, nil, fmt.Errorf("listen on %s for the machine: %w", l.Address, err)
		}
	}
	return d, forwards, relays, nil
}

// networkPrefix is the prefix of addresses in the machine's network, which need no agent.
var networkPrefix = strings.TrimSuffix(initrd.Network, "0/24")

// listen creates a socket by the directory's descriptor, because the path may be longer than the 108 bytes of a
// socket's address.
func (d *sockets) listen(name string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "unix",
		fmt.Sprintf("/proc/self/fd/%d/%s", d.dir.Fd(), name))
}

func (d *sockets) serve(name string, handler http.Handler) error {
	socket, err := d.listen(name)
	if err != nil {
		return err
	}
	// A machine that opens a connection and sends nothing must not keep it open for ever.
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	d.servers = append(d.servers, server)
	go func() { _ = server.Serve(socket) }() // ends with close
	return nil
}

// acceptAgents stores the agent's latest connection. Older ones are of boots that have ended.
func (d *sockets) acceptAgents() {
	for {
		conn, err := d.jobs.Accept()
		if err != nil {
			return
		}
		select {
		case old := <-d.agents:
			_ = old.Close()
		default:
		}
		d.agents <- conn // does not block: only this goroutine sends
	}
}

// errNoAgent is the error of commands before the machine has mounted its disk, and when it is shutting down.
var errNoAgent = errors.New("the machine has not come so far yet, or is going down")

// agentLimit is how long the agent may take to connect again after a job. It takes longer where an emulated processor
// has much to do.
const agentLimit = 5 * time.Second

// agent returns a connection at which the agent waits.
func (d *sockets) agent(ctx context.Context) (net.Conn, error) {
	select {
	case conn := <-d.agents:
		return conn, nil
	case <-time.After(agentLimit):
		return nil, errNoAgent
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *sockets) close() {
	for _, s := range d.servers {
		_ = s.Close()
	}
	if d.jobs != nil {
		_ = d.jobs.Close()
	}
	select {
	case conn := <-d.agents:
		_ = conn.Close()
	default:
	}
	if d.dir != nil {
		_ = d.dir.Close()
	}
}
