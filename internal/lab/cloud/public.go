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

// sshPort is the only port that is reachable at a public address.
const sshPort = 22

// Addresses assigns public addresses to instances, as package address does.
type Addresses struct {
	Allocate func() string // returns "" when there is none left
	Release  func(address string)
	Forward  func(address string, dial func(context.Context) (net.Conn, error), done <-chan struct{}) (io.Closer, error)
}

// localhost is where connections to public addresses come from.
var localhost = netip.MustParseAddr("127.0.0.1")

// allowsTCP reports whether a rule allows connections from this computer to a TCP port.
func (r Rule) allowsTCP(port int) bool {
	if r.Egress || !slices.Contains([]string{"tcp", "6", "-1"}, r.Protocol) {
		return false
	}
	if r.Protocol != "-1" && (port < r.From || port > r.To) {
		return false
	}
	from, err := netip.ParsePrefix(r.CIDR)
	return err == nil && from.Contains(localhost)
}

// groupsAllow reports whether a security group of the instance allows connections from this computer to a TCP port. The
// caller holds c.mu.
func (c *Cloud) groupsAllow(in *instance, port int) bool {
	return slices.ContainsFunc(in.SecurityGroups, func(id string) bool {
		g := c.groups[id]
		return g != nil && slices.ContainsFunc(g.Rules, func(r Rule) bool { return r.allowsTCP(port) })
	})
}

// assignPublicIP assigns a public address to an instance that starts. It is another one at each start, as on EC2.
func (c *Cloud) assignPublicIP(in *instance) {
	if !in.public || c.options.Addresses.Allocate == nil {
		return
	}
	address := c.options.Addresses.Allocate()
	c.mu.Lock()
	defer c.mu.Unlock()
	in.PublicIP = address
}

// releasePublicIP releases the public address of an instance that stops. The caller holds c.mu.
func (c *Cloud) releasePublicIP(in *instance) {
	if in.PublicIP != "" {
		c.options.Addresses.Release(in.PublicIP)
		in.PublicIP = ""
	}
}

// updateForwards opens and closes SSH at the public addresses, by the state and the security groups of each instance.
// Call it after a change of one of them. The caller holds c.mu.
func (c *Cloud) updateForwards() {
	for _, in := range c.instances {
		open := in.State == Running && in.machine != nil && in.PublicIP != "" && c.groupsAllow(in, sshPort)
		switch {
		case open && in.sshForward == nil:
			c.openForward(in)
		case !open && in.sshForward != nil:
			_ = in.sshForward.Close()
			in.sshForward = nil
		}
	}
}

func (c *Cloud) openForward(in *instance) {
	m := in.machine
	dial := func(ctx context.Context) (net.Conn, error) { return m.Dial(ctx, sshPort) }
	forward, err := c.options.Addresses.Forward(net.JoinHostPort(in.PublicIP, strconv.Itoa(sshPort)), dial, m.Done())
	if err != nil {
		c.options.Log("%s cannot be reached by SSH: %v", in.ID, err)
		forward = io.NopCloser(nil) // so that this is logged only once
	}
	in.sshForward = forward
}
