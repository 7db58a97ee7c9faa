// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package machine runs a disk as a machine: with real systemd as PID 1, real cloud-init, a console, and a network of
// its own. It may not know EC2: the metadata service is an http.Handler, and the caller decides what a power-off means
// for an instance.
//
// A machine's disk is a raw image with the whole root file system. So it has a size, can be full, has deleted
// bytes in its free blocks, and another Runner can boot it.
package machine

import (
	"context"
	"io"
	"net"
	"net/http"
)

// Listener is an HTTP service that only this machine can reach: 169.254.169.254:80 is the machine's own metadata
// service.
type Listener struct {
	Address string // IPv4 address and port
	Handler http.Handler
}

// Spec is what to run.
type Spec struct {
	ID        string     // instance id; unique among the running machines
	Disk      string     // raw root file system, writable; the machine's whole disk
	Hostname  string     // host name at first boot, until cloud-init sets its own; ID when empty
	Listeners []Listener // served until the machine has ended, also during reboots
	Internet  bool       // user-mode NAT to the host's network, as interface eth0
	Runner    string     // name, for a Runner that consists of several; empty: its default
	// Architecture of the disk's programs, by the name that EC2 has for it; empty: this computer's.
	Architecture string
	Console      io.Writer // gets all bytes that the console prints, from one goroutine
}

// Exit is how a machine has ended.
type Exit struct {
	// PoweredOff is true when the machine has shut itself down. A halt looks the same from outside. After Kill and Stop
	// it is false.
	PoweredOff bool
	// Err is the error of running the machine or unmounting its disk. It is nil after Kill and Stop.
	Err error
}

// Machine is a running machine. When Done is closed, its disk is unmounted and flushed and can be cloned, and all
// processes that ran it have ended.
type Machine interface {
	// Done is closed when the machine has ended.
	Done() <-chan struct{}
	// Exit returns how it has ended. It waits for Done.
	Exit() Exit
	// Stop shuts the machine down, as ec2:StopInstances does, and returns when the machine has ended. When ctx ends
	// first, it kills the machine.
	Stop(ctx context.Context) error
	// Kill ends the machine at once, and returns when it has ended.
	Kill()
	// Exec runs argv as root in the machine, with a clean environment. The error of a command that fails has ExitCode()
	// int, as *exec.ExitError has.
	Exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error
	// Dial connects to a TCP port of the machine, as from inside of it.
	Dial(ctx context.Context, port int) (net.Conn, error)
}

// Runner starts machines.
type Runner interface {
	// Start returns when the machine has begun to boot. ctx limits the start, not the machine's life.
	Start(ctx context.Context, s Spec) (Machine, error)
}
