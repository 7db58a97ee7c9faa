// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// network is an anonymous network namespace: no name in /run/netns, gone with
// the last descriptor, socket and process in it.
type network struct {
	namespace *os.File
	outside   *os.File // where what is not the machine's own listens, or nil
	servers   []*http.Server
}

// newNetwork makes a namespace with the loopback interface up.
func newNetwork() (*network, error) {
	namespace, err := newNamespace()
	if err != nil {
		return nil, err
	}
	return &network{namespace: namespace}, nil
}

func newNamespace() (namespace *os.File, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if err := loopbackUp(); err != nil {
			return err
		}
		namespace, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return namespace, nil
}

// path names the namespace for other programs, as long as this one has it open.
func (n *network) path() string { return path(n.namespace) }

func path(namespace *os.File) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), namespace.Fd())
}

// serve listens on addresses the machine reaches, and serves from this process.
func (n *network) serve(listeners []Listener) error {
	for _, l := range listeners {
		socket, err := n.listen(l.Address)
		if err != nil {
			return fmt.Errorf("listen on %s for the machine: %w", l.Address, err)
		}
		// A guest that opens a connection and says nothing must not keep it for ever.
		server := &http.Server{Handler: l.Handler, ReadHeaderTimeout: time.Minute}
		n.servers = append(n.servers, server)
		go func() { _ = server.Serve(socket) }() // ends with close
	}
	return nil
}

// listen opens a socket inside the machine for an address of its loopback
// interface. Any other address is behind a wire, as on EC2: a socket inside
// would take the port from the machine, where a server on 0.0.0.0:80 is common.
func (n *network) listen(address string) (socket net.Listener, err error) {
	tcp, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	namespace := n.namespace
	if !tcp.IP.IsLoopback() {
		if err := n.wire(tcp.IP.To4()); err != nil {
			return nil, err
		}
		namespace = n.outside
	}
	err = within(namespace, func() error {
		socket, err = net.Listen("tcp4", address)
		return err
	})
	return socket, err
}

// wire connects the machine to a namespace of its own that has an address, by
// a pair of veth devices. The machine's end has the address below.
func (n *network) wire(ip net.IP) (err error) {
	if n.outside != nil {
		return errors.New("one address outside of the machine is all there can be")
	}
	if n.outside, err = newNamespace(); err != nil {
		return err
	}
	near := net.IPv4(ip[0], ip[1], ip[2], ip[3]-1).String()
	far := ip.String()
	err = within(n.namespace, func() error {
		return errors.Join(
			iproute("link", "add", wireName, "type", "veth", "peer", "name", wireName, "netns", path(n.outside)),
			iproute("address", "add", near, "peer", far, "dev", wireName),
			iproute("link", "set", wireName, "up"))
	})
	if err != nil {
		return err
	}
	return within(n.outside, func() error {
		return errors.Join(
			iproute("address", "add", far, "peer", near, "dev", wireName),
			iproute("link", "set", wireName, "up"))
	})
}

// wireName is the veth device, at both ends.
const wireName = "lab0"

// iproute runs ip(8) in the namespace of the calling thread.
func iproute(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s (Debian package iproute2): %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// within runs do on a thread inside a namespace.
func within(namespace *os.File, do func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return do()
	})
}

func (n *network) close() {
	for _, s := range n.servers {
		_ = s.Close()
	}
	n.servers = nil
	for _, namespace := range []*os.File{n.namespace, n.outside} {
		if namespace != nil {
			_ = namespace.Close()
		}
	}
}

// onThread runs do on an operating-system thread whose network namespace it may
// change. A thread that cannot be brought back ends with its goroutine.
func onThread(do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			result <- err
			return
		}
		err = do()
		back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)
		if back == nil {
			runtime.UnlockOSThread()
		}
		result <- errors.Join(err, back, home.Close())
	}()
	return <-result
}

// loopbackUp brings 127.0.0.1 up in the thread's namespace.
func loopbackUp() error {
	return withInterface("lo", func(socket int, r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, r)
	})
}

func withInterface(name string, do func(socket int, r *unix.Ifreq) error) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := do(socket, r); err != nil {
		_ = unix.Close(socket)
		return fmt.Errorf("set up interface %s: %w", name, err)
	}
	return unix.Close(socket)
}
