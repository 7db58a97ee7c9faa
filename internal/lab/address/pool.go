// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package address gives instances public addresses, and connects who calls there with the machine behind one.
// The addresses are of this computer's loopback network, 127.80.0.0/16: reachable from this computer and from
// nowhere else. It knows no instance and no security group; when an address may be reached is for others to say.
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

// Pool hands out the addresses of one of the 256 networks 127.80.N.0/24. Each pool has a network of its own, also
// among the processes of this computer.
type Pool struct {
	claim   net.Listener
	network string // 127.80.N.

	mu   sync.Mutex
	used [256]bool
	next int
}

// NewPool claims a network. The claim ends with Close, and with the process.
func NewPool() (*Pool, error) {
	for _, n := range rand.Perm(256) { //nolint:gosec // any order will do
		network := fmt.Sprintf("127.80.%d.", n)
		if runtime.GOOS != "linux" { // the lab's machines are not there either
			return &Pool{network: network, next: 1}, nil
		}
		// An abstract socket's name is as wide as the loopback network is: one network namespace. Nothing of it is on disk.
		claim, err := net.Listen("unix", "@bakery-lab "+network)
		if err == nil {
			return &Pool{claim: claim, network: network, next: 1}, nil
		}
	}
	return nil, errors.New("claim a network for public addresses: every one of 127.80.0.0/16 is taken by a running lab")
}

// Close gives the network back.
func (p *Pool) Close() error {
	if p.claim == nil {
		return nil
	}
	return p.claim.Close()
}

// Take is an address nobody has, the one that was free for the longest time; "" when 254 instances have one.
func (p *Pool) Take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 254 {
		n := p.next
		if p.next++; p.next > 254 { // .0 and .255 look like a network and a broadcast address
			p.next = 1
		}
		if !p.used[n] {
			p.used[n] = true
			return fmt.Sprint(p.network, n)
		}
	}
	return ""
}

// Return gives an address back.
func (p *Pool) Return(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ip := net.ParseIP(address).To4()
	if ip != nil && slices.Equal(ip[:3], net.ParseIP(p.network + "0").To4()[:3]) {
		p.used[ip[3]] = false
	}
}
