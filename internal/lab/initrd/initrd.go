// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package initrd is what the kernel of a virtual machine starts first. The lab's disks have no kernel and no drivers,
// and no configuration of the lab's network. So the initrd does what an AMI's own initrd and DHCP client do on EC2: it
// loads drivers, configures the network, mounts the disk and starts the system on it. One process stays while the
// machine runs: the agent, which forwards connections to the lab and runs commands for it. It writes nothing to the
// disk.
//
// One program is both the lab and the initrd: Write packs it, built for the machines. It must be statically linked, and
// its main must call Init first. The package may not know QEMU: outside it needs only TCP connections to the addresses
// below.
package initrd

// The machine's network. It contains the address of the metadata service, because QEMU's user networking forwards only
// addresses of the machine's network.
const (
	Network  = "169.254.169.0/24"
	Address  = "169.254.169.15" // of the machine
	Gateway  = "169.254.169.2"
	Resolver = "169.254.169.3"
	Lab      = "169.254.169.253" // address of the lab for the agent
	JobPort  = 1                 // at Lab: the lab sends a job on each connection
	RelayTo  = 2                 // at Lab: the first of Config.Relays' ports
)

// Config of a machine's initrd.
type Config struct {
	// Relays are addresses, host:port, on which the agent listens in the machine. It forwards connections to the first
	// one to port RelayTo of Lab, to the second one to the next port, and so on.
	Relays []string
	// Internet gives the machine a name server.
	Internet bool
	// Modules are the kernel modules to load, in this order: base names of Write's files.
	Modules []string
}

const (
	program    = "init" // in the initrd's root directory, where the kernel expects it
	configFile = "bakery-lab.json"
	agentRole  = "agent" // first argument of the process that stays
)
