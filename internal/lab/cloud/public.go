// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// sshPort is the one port of a machine that its public address has.
const sshPort = 22

// Addresses gives instances public addresses; package address does.
type Addresses struct {
	Take    func() string // "" when there is none left
	Return  func(address string)
	Forward func(address string, dial func(context.Context) (net.Conn, error), done <-chan struct{}) (io.Closer, error)
}

// caller is where connections to public addresses come from: this computer.
var caller = netip.MustParseAddr("127.0.0.1")

// lets says whether a rule lets a caller of this computer in on a TCP port.
func (r Rule) lets(port int) bool {
	if r.Egress || !slices.Contains([]string{"tcp", "6", "-1"}, r.Protocol) {
		return false
	}
	if r.Protocol != "-1" && (port < r.From || port > r.To) {
		return false
	}
	from, err := netip.ParsePrefix(r.CIDR)
	return err == nil && from.Contains(caller)
}

// lets says whether a group of the instance lets callers in on a port; the caller holds c.mu.
func (c *Cloud) lets(in *instance, port int) bool {
	return slices.ContainsFunc(in.SecurityGroups, func(id string) bool {
		g := c.groups[id]
		return g != nil && slices.ContainsFunc(g.Rules, func(r Rule) bool { return r.lets(port) })
	})
}

// getAddress gives an instance that starts its public address; it has another one each time, as on EC2.
func (c *Cloud) getAddress(in *instance) {
	if !in.public || c.options.Addresses.Take == nil {
		return
	}
	address := c.options.Addresses.Take()
	c.mu.Lock()
	defer c.mu.Unlock()
	in.PublicIP = address
}

// loseAddress is what a stop does; the caller holds c.mu.
func (c *Cloud) loseAddress(in *instance) {
	if in.PublicIP != "" {
		c.options.Addresses.Return(in.PublicIP)
		in.PublicIP = ""
	}
}

// reach makes every instance as reachable at its public address as its state and its groups say; whoever changes
// one of them calls it and holds c.mu.
func (c *Cloud) reach() {
	for _, in := range c.instances {
		open := in.State == Running && in.machine != nil && in.PublicIP != "" && c.lets(in, sshPort)
		switch {
		case open && in.door == nil:
			c.open(in)
		case !open && in.door != nil:
			_ = in.door.Close()
			in.door = nil
		}
	}
}

func (c *Cloud) open(in *instance) {
	m := in.machine
	dial := func(ctx context.Context) (net.Conn, error) { return m.Dial(ctx, sshPort) }
	door, err := c.options.Addresses.Forward(net.JoinHostPort(in.PublicIP, strconv.Itoa(sshPort)), dial, m.Done())
	if err != nil {
		c.options.Log("%s cannot be reached by SSH: %v", in.ID, err)
		door = io.NopCloser(nil) // once is enough to say so
	}
	in.door = door
}
