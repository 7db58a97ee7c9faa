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

// dialLimit is how long a machine may take to accept a connection. The machine is on this computer.
const dialLimit = 10 * time.Second

// Dial connects with the machine of an address.
type Dial func(ctx context.Context) (net.Conn, error)

// Forward listens on an address, host:port, and forwards each connection to dial's, until the returned Closer is
// closed. Connections stay open after that, as after a change of a security group on EC2. They end when done is closed.
func Forward(address string, dial Dial, done <-chan struct{}) (io.Closer, error) {
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return nil, fmt.Errorf("listen on an instance's public address: %w", err)
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			go forwardConnection(client, dial, done)
		}
	}()
	return l, nil
}

// forwardConnection connects a client with a machine. It resets the connection when nothing listens on the machine, as
// on EC2.
func forwardConnection(client net.Conn, dial Dial, done <-chan struct{}) {
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), dialLimit)
	machine, err := dial(ctx)
	cancel()
	if err != nil {
		if tcp, ok := client.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		return
	}
	defer func() { _ = machine.Close() }()
	ended := make(chan struct{}, 2)
	go copyOneWay(machine, client, ended)
	go copyOneWay(client, machine, ended)
	for range 2 {
		select {
		case <-ended:
		case <-done:
			return
		}
	}
}

// copyOneWay copies from one side to the other, and closes the other for writing at the end.
func copyOneWay(to, from net.Conn, ended chan<- struct{}) {
	_, _ = io.Copy(to, from) // an error ends both directions
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	} else {
		_ = to.Close()
	}
	ended <- struct{}{}
}
