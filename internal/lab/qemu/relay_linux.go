// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"fmt"
	"io"
	"net"
	"os"
)

// relayArgument is the first argument of a process that forwards a connection of a machine.
const relayArgument = "_qemu-relay"

// Init must be called first in main, and in TestMain of a test that starts machines. In a process that QEMU has started
// to forward a connection, it does that and never returns; elsewhere it does nothing.
func Init() {
	if len(os.Args) != 4 || os.Args[1] != relayArgument {
		return
	}
	if err := relay(os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "bakery-lab:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// relay connects standard input and output with a socket. It changes to the socket's directory, because the path may be
// too long for a socket's address.
func relay(dir, name string) error {
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("hand a connection on: %w", err)
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: name})
	if err != nil {
		return fmt.Errorf("hand a connection on: %w", err)
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.CloseWrite()
	}()
	_, err = io.Copy(os.Stdout, conn) // ends when the lab has answered or has closed the connection
	return err
}
