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

// network is a network namespace without a name in /run/netns. It ends with the last descriptor, socket and process in
// it.
type network struct {
	namespace *os.File
	outside   *os.File // namespace of listeners outside of the machine, or nil
	servers   []*http.Server
}

// newNetwork creates a namespace with the loopback interface up.
func newNetwork() (*network, error) {
	namespace, err := newNamespace()
	if err != nil {
		return nil, err
	}
	return &network{namespace: namespace}, nil
}

func newNamespace() (namespace *os.File, err error) {
	err = onOSThread(func() error {
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

// path returns a path of the namespace for other programs, which exists while this process has the namespace open.
func (n *network) path() string { return path(n.namespace) }

func path(namespace *os.File) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), namespace.Fd())
}

// serve listens on addresses that the machine reaches, and serves from this process.
func (n *network) serve(listeners []Listener) error {
	for _, l := range listeners {
		socket, err := n.listen(l.Address)
		if err != nil {
			return fmt.Errorf("listen on %s for the machine: %w", l.Address, err)
		}
		// A machine that opens a connection and sends nothing must not keep it open for ever.
		server := &http.Server{Handler: l.Handler, ReadHeaderTimeout: time.Minute}
		n.servers = append(n.servers, server)
		go func() { _ = server.Serve(socket) }() // ends with close
	}
	return nil
}

// listen opens a socket in the machine's namespace for an address of its loopback interface. Other addresses are in a
// namespace of their own: in the machine's, the socket would use the port there, where a server on 0.0.0.0:80 is
// common.
func (n *network) listen(address string) (socket net.Listener, err error) {
	tcp, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	namespace := n.namespace
	if !tcp.IP.IsLoopback() {
		if err := n.connectVeth(tcp.IP.To4()); err != nil {
			return nil, err
		}
		namespace = n.outside
	}
	err = inNamespace(namespace, func() error {
		socket, err = net.Listen("tcp4", address)
		return err
	})
	return socket, err
}

// connectVeth connects the machine to another namespace with an address, by a pair of veth devices. The machine's
// device has the address below that one.
func (n *network) connectVeth(ip net.IP) (err error) {
	if n.outside != nil {
		return errors.New("one address outside of the machine is all there can be")
	}
	if n.outside, err = newNamespace(); err != nil {
		return err
	}
	near := net.IPv4(ip[0], ip[1], ip[2], ip[3]-1).String()
	far := ip.String()
	err = inNamespace(n.namespace, func() error {
		return errors.Join(
			iproute("link", "add", vethName, "type", "veth", "peer", "name", vethName, "netns", path(n.outside)),
			iproute("address", "add", near, "peer", far, "dev", vethName),
			iproute("link", "set", vethName, "up"))
	})
	if err != nil {
		return err
	}
	return inNamespace(n.outside, func() error {
		return errors.Join(
			iproute("address", "add", far, "peer", near, "dev", vethName),
			iproute("link", "set", vethName, "up"))
	})
}

// vethName is the name of both veth devices.
const vethName = "lab0"

// iproute runs ip(8) in the calling thread's namespace.
func iproute(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s (Debian package iproute2): %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// inNamespace runs do on a thread in a namespace.
func inNamespace(namespace *os.File, do func() error) error {
	return onOSThread(func() error {
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

// onOSThread runs do on a thread of the operating system, whose network namespace do may change. When the namespace
// cannot be restored, the thread ends with its goroutine.
func onOSThread(do func() error) error {
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

// loopbackUp brings up 127.0.0.1 in the thread's namespace.
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
