// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package initrd is what the kernel of a virtual machine starts first. The lab's disks hold no kernel
// and no drivers, and their network is the lab's business, so this does what an AMI's own initrd and
// DHCP client do on EC2: it loads drivers, configures the network, mounts the disk and starts the
// system on it. A process of it stays as long as the machine runs: the lab's agent, which hands
// connections on to the lab and runs commands for it. It writes nothing to the disk.
//
// One program is both ends: Write packs this very executable, which must be statically linked and
// whose main calls Init first. This package knows no QEMU: what it needs outside are TCP connections
// to the addresses below.
package initrd

// What the machine's network looks like. It must hold the metadata service's address, since QEMU's
// user networking forwards only addresses of the machine's own network.
const (
	Network  = "169.254.169.0/24"
	Address  = "169.254.169.15" // of the machine
	Gateway  = "169.254.169.2"
	Resolver = "169.254.169.3"
	Lab      = "169.254.169.253" // where the agent reaches the lab
	JobPort  = 1                 // at Lab: the lab sends a job down each connection
	RelayTo  = 2                 // at Lab: the first of Config.Relays' ports
)

// Config is what one machine's initrd is told.
type Config struct {
	// Relays are addresses, host:port, on which the agent listens inside the machine; connections
	// to the first are handed on to port RelayTo of Lab, to the second to the port after it...
	Relays []string
	// Internet gives the machine a name server.
	Internet bool
	// Modules are the kernel modules to load, in that order: base names of the files given to Write.
	Modules []string
}

const (
	program    = "init" // at the top of the initrd, where the kernel looks for it
	configFile = "bakery-lab.json"
	agentRole  = "agent" // first argument of the process that stays
)
