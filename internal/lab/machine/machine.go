// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package machine runs a disk as a machine: real systemd as PID 1, real
// cloud-init, a console, a network of its own. It knows no EC2: what a machine
// is told through its metadata address comes in as an http.Handler, and what a
// power-off means for an instance is for the caller to say.
//
// A machine's disk is a raw ext4 image that holds the whole root file system,
// so it has a size, can be full, keeps deleted bytes in free blocks, and can be
// booted by another Runner.
package machine

import (
	"context"
	"io"
	"net"
	"net/http"
)

// Listener is an HTTP service inside the machine's network namespace, and
// nowhere else: 169.254.169.254:80 is the machine's own metadata service.
type Listener struct {
	Address string // IPv4 literal and port; the address is added to the loopback interface
	Handler http.Handler
}

// Spec says what to run.
type Spec struct {
	ID        string     // instance id; unique among the running machines
	Disk      string     // raw ext4 root file system, writable; the machine's whole disk
	Hostname  string     // host name at first boot, until cloud-init sets its own; ID when empty
	Listeners []Listener // served until the machine has ended, through reboots
	Internet  bool       // user-mode NAT to the host's network, as interface eth0
	Runner    string     // which one, for a Runner that has several; its own choice when empty
	Console   io.Writer  // gets every byte the console prints, from one goroutine
}

// Exit says how a machine ended.
type Exit struct {
	// PoweredOff is true when the machine ended by its own will. A halt looks
	// the same from outside; Kill and Stop leave it false.
	PoweredOff bool
	// Err is what went wrong with running or unmounting it, nil after an
	// orderly end, also after Kill and Stop.
	Err error
}

// Machine is one running machine. When Done is closed its disk is unmounted,
// flushed and free to be cloned, and everything that ran it is gone.
type Machine interface {
	// Done is closed when the machine has ended.
	Done() <-chan struct{}
	// Exit says how it ended; it waits for Done.
	Exit() Exit
	// Stop asks for an orderly power-off, as ec2:StopInstances does, and
	// returns when the machine has ended. When ctx ends first it is killed.
	Stop(ctx context.Context) error
	// Kill cuts the power and returns when everything is gone.
	Kill()
	// Exec runs argv as root inside the machine with a clean environment. A
	// command that fails gives an error that has ExitCode() int, as an
	// *exec.ExitError has.
	Exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error
	// Dial connects with a TCP port of the machine, as from inside it.
	Dial(ctx context.Context, port int) (net.Conn, error)
}

// Runner starts machines.
type Runner interface {
	// Start returns as soon as the machine has begun to boot. ctx limits the
	// start only, not the machine's life.
	Start(ctx context.Context, s Spec) (Machine, error)
}
