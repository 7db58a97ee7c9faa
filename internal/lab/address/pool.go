// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package address allocates public addresses for instances, and forwards connections from there to machines. The
// addresses are in this computer's loopback network, 127.80.0.0/16: only this computer can reach them. The package may
// not know instances or security groups; the caller decides when an address is reachable.
package address

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
)

// Pool allocates the addresses of one of the 256 networks 127.80.N.0/24. No other pool has the same network, not even
// in another process of this computer.
type Pool struct {
	claim   net.Listener
	network string // 127.80.N.

	mu   sync.Mutex
	used [256]bool
	next int
}

// NewPool claims a network. The claim ends with Close, and with the process.
func NewPool() (*Pool, error) {
	for _, n := range rand.Perm(256) { //nolint:gosec // the order does not matter
		network := fmt.Sprintf("127.80.%d.", n)
		if runtime.GOOS != "linux" { // there are no machines either
			return &Pool{network: network, next: 1}, nil
		}
		// The name of an abstract socket is unique in its network namespace, as the addresses are, and needs no file.
		claim, err := net.Listen("unix", "@bakery-lab "+network)
		if err == nil {
			return &Pool{claim: claim, network: network, next: 1}, nil
		}
	}
	return nil, errors.New("claim a network for public addresses: every one of 127.80.0.0/16 is taken by a running lab")
}

// Close releases the network.
func (p *Pool) Close() error {
	if p.claim == nil {
		return nil
	}
	return p.claim.Close()
}

// Allocate returns the address that has been free for the longest time; "" when all 254 are allocated.
func (p *Pool) Allocate() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 254 {
		n := p.next
		if p.next++; p.next > 254 { // .0 and .255 look like addresses of a network and of a broadcast
			p.next = 1
		}
		if !p.used[n] {
			p.used[n] = true
			return fmt.Sprint(p.network, n)
		}
	}
	return ""
}

// Release makes an address free again.
func (p *Pool) Release(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ip := net.ParseIP(address).To4()
	if ip != nil && slices.Equal(ip[:3], net.ParseIP(p.network + "0").To4()[:3]) {
		p.used[ip[3]] = false
	}
}
