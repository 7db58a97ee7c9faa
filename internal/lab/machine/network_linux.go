// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// network is an anonymous network namespace: no name in /run/netns, gone with
// the last descriptor, socket and process in it.
type network struct {
	namespace *os.File
	servers   []*http.Server
}

// newNetwork makes a namespace with the loopback interface up.
func newNetwork() (*network, error) {
	n := &network{}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		n.namespace = f
		return loopbackUp()
	})
	if err != nil {
		n.close()
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return n, nil
}

// path names the namespace for other programs, as long as this one has it open.
func (n *network) path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.namespace.Fd())
}

// serve listens inside the namespace and serves from this process.
func (n *network) serve(listeners []Listener) error {
	for i, l := range listeners {
		var socket net.Listener
		err := n.within(func() (err error) {
			if err := addAddress(l.Address, i+1); err != nil {
				return err
			}
			socket, err = net.Listen("tcp4", l.Address)
			return err
		})
		if err != nil {
			return fmt.Errorf("listen on %s inside the machine's network: %w", l.Address, err)
		}
		// A guest that opens a connection and says nothing must not keep it for ever.
		server := &http.Server{Handler: l.Handler, ReadHeaderTimeout: time.Minute}
		n.servers = append(n.servers, server)
		go func() { _ = server.Serve(socket) }() // ends with close
	}
	return nil
}

// within runs do on a thread inside the namespace.
func (n *network) within(do func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
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
	if n.namespace != nil {
		_ = n.namespace.Close()
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

// addAddress adds the address of "address:port" to the loopback interface, as
// its label number alias, when it is not there by itself.
func addAddress(address string, alias int) error {
	tcp, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return err
	}
	if tcp.IP.IsLoopback() {
		return nil
	}
	return withInterface(fmt.Sprintf("lo:%d", alias), func(socket int, r *unix.Ifreq) error {
		if err := r.SetInet4Addr(tcp.IP.To4()); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(socket, unix.SIOCSIFADDR, r); err != nil {
			return err
		}
		// The kernel guesses the mask from the address's old class: /16 for
		// 169.254, all of which would then be this machine.
		if err := r.SetInet4Addr(net.IPv4bcast.To4()); err != nil {
			return err
		}
		return unix.IoctlIfreq(socket, unix.SIOCSIFNETMASK, r)
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
