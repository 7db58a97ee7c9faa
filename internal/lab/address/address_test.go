// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package address_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/address"
)

func pool(t *testing.T) *address.Pool {
	t.Helper()
	p, err := address.NewPool()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestPoolsAllocateDifferentAddresses(t *testing.T) {
	a, b := pool(t), pool(t)
	seen := map[string]bool{}
	for range 254 {
		for _, ip := range []string{a.Allocate(), b.Allocate()} {
			if ip == "" || seen[ip] || !strings.HasPrefix(ip, "127.80.") {
				t.Fatalf("address %q", ip)
			}
			seen[ip] = true
		}
	}
	if ip := a.Allocate(); ip != "" {
		t.Errorf("the 255th address: %q", ip)
	}
	back := b.Allocate()
	for ip := range seen {
		a.Release(ip) // ignored when it is of the other pool
	}
	if ip := a.Allocate(); ip == "" || b.Allocate() != "" || back != "" {
		t.Errorf("after some were given back: %q", ip)
	}
}

// echo is a machine that reads all input and then writes it back.
func echo(context.Context) (net.Conn, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	conn, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return nil, err
	}
	machine, err := l.Accept()
	if err != nil {
		return nil, err
	}
	go func() {
		text, _ := io.ReadAll(machine)
		_, _ = machine.Write(text)
		_ = machine.Close()
	}()
	return conn, nil
}

func TestForwardConnectsToTheMachine(t *testing.T) {
	where := free(t)
	done := make(chan struct{})
	closer, err := address.Forward(where, echo, done)
	if err != nil {
		t.Fatal(err)
	}
	call := dial(t, where)
	_, _ = io.WriteString(call, "hello")
	_ = call.CloseWrite()
	if got, err := io.ReadAll(call); string(got) != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	long := dial(t, where)
	_, _ = io.WriteString(long, "I stay")
	_ = closer.Close()
	if _, err := net.Dial("tcp4", where); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("closed: %v", err)
	}
	close(done)
	if got, err := io.ReadAll(long); len(got) > 0 {
		t.Errorf("a connection that was there when the machine ended: %q, %v", got, err)
	}
}

func TestForwardResetsWhenTheMachineDoesNotListen(t *testing.T) {
	where := free(t)
	closer, err := address.Forward(where, func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED },
		nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = closer.Close() }()
	call, err := net.Dial("tcp4", where) // the reset may come already here
	if err == nil {
		_, err = call.Read(make([]byte, 1))
		_ = call.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v", err)
	}
}

// free returns a host and a port on which nothing listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", pool(t).Allocate()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func dial(t *testing.T, where string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp4", where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	tcp, _ := conn.(*net.TCPConn)
	return tcp
}
