// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package address

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// dialLimit is how long a machine may take to accept a connection; it is on this computer.
const dialLimit = 10 * time.Second

// Dial connects with what is behind an address.
type Dial func(ctx context.Context) (net.Conn, error)

// Forward listens on an address, host:port, and connects each caller with what dial gives until the returned
// Closer is closed. Connections outlive that, as they outlive a change of a security group on EC2; they end
// with done.
func Forward(address string, dial Dial, done <-chan struct{}) (io.Closer, error) {
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return nil, fmt.Errorf("listen on an instance's public address: %w", err)
	}
	go func() {
		for {
			caller, err := l.Accept()
			if err != nil {
				return // closed
			}
			go connect(caller, dial, done)
		}
	}()
	return l, nil
}

// connect joins a caller and a machine. A machine on which nothing listens yet answers as EC2's do: with a reset.
func connect(caller net.Conn, dial Dial, done <-chan struct{}) {
	defer func() { _ = caller.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), dialLimit)
	machine, err := dial(ctx)
	cancel()
	if err != nil {
		if tcp, ok := caller.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		return
	}
	defer func() { _ = machine.Close() }()
	over := make(chan struct{}, 2)
	go pump(machine, caller, over)
	go pump(caller, machine, over)
	for range 2 {
		select {
		case <-over:
		case <-done:
			return
		}
	}
}

// pump copies one way, and hands the end of it on.
func pump(to, from net.Conn, over chan<- struct{}) {
	_, _ = io.Copy(to, from) // a side that went away ends both
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	} else {
		_ = to.Close()
	}
	over <- struct{}{}
}
