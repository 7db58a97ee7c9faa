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

// jobSocket is where the machine's agent waits for jobs.
const jobSocket = "jobs"

// doors are the sockets behind the machine's forwarded addresses, below its directory.
type doors struct {
	dir     *os.File
	agents  chan net.Conn // the connection at which the agent waits, when it does
	servers []*http.Server
	jobs    net.Listener
}

// open listens at every door and says which addresses lead there, and on which the agent is to listen.
func openDoors(dir string, listeners []machine.Listener) (d *doors, forwards []forward, relays []string, err error) {
	d = &doors{agents: make(chan net.Conn, 1)}
	if d.dir, err = os.Open(dir); err != nil {
		return d, nil, nil, err
	}
	if d.jobs, err = d.listen(jobSocket); err != nil {
		return d, nil, nil, err
	}
	go d.welcome()
	forwards = []forward{{labAddress(initrd.JobPort), jobSocket}}
	for at, l := range listeners {
		socket := "listener" + strconv.Itoa(at)
		f := forward{l.Address, socket}
		if !strings.HasPrefix(l.Address, networkPrefix) {
			f.at = labAddress(initrd.RelayTo + len(relays))
			relays = append(relays, l.Address)
		}
		forwards = append(forwards, f)
		if err := d.serve(socket, l.Handler); err != nil {
			return d, nil, nil, fmt.Errorf("listen on %s for the machine: %w", l.Address, err)
		}
	}
	return d, forwards, relays, nil
}

// networkPrefix begins the addresses of the machine's own network, which need no agent.
var networkPrefix = strings.TrimSuffix(initrd.Network, "0/24")

// listen makes a socket by way of the directory's descriptor, since the whole path may be longer than
// the 108 bytes a socket's address has.
func (d *doors) listen(name string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "unix", fmt.Sprintf("/proc/self/fd/%d/%s", d.dir.Fd(), name))
}

func (d *doors) serve(name string, handler http.Handler) error {
	socket, err := d.listen(name)
	if err != nil {
		return err
	}
	// A guest that opens a connection and says nothing must not keep it for ever.
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	d.servers = append(d.servers, server)
	go func() { _ = server.Serve(socket) }() // ends with close
	return nil
}

// welcome keeps the agent's latest connection. An older one is that of a boot that has ended.
func (d *doors) welcome() {
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
		d.agents <- conn // only this goroutine fills it
	}
}

// errNoAgent is what a command gets in a machine that has not mounted its disk yet, or is going down.
var errNoAgent = errors.New("the machine has not come so far yet, or is going down")

// agentLimit is how long the agent may take to connect again after the last job: an instant, but
// not where its processor is emulated and has much to do.
const agentLimit = 5 * time.Second

// agent is a connection at which the agent waits.
func (d *doors) agent(ctx context.Context) (net.Conn, error) {
	select {
	case conn := <-d.agents:
		return conn, nil
	case <-time.After(agentLimit):
		return nil, errNoAgent
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *doors) close() {
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
