// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/initrd"
)

// memory of a machine in MiB: between those of t3.nano and t3.small.
const memory = 1024

// arguments returns those of qemu-system-x86_64(1) and its like. The monitor is descriptor 3, the console is standard
// output.
func (m *vm) arguments() []string {
	id := sha256.Sum256([]byte(m.spec.ID))
	p := m.runner.platform()
	args := []string{
		"-name", m.spec.ID,
		"-nodefaults", "-no-user-config", "-display", "none",
		"-m", strconv.Itoa(memory),
		"-kernel", m.runner.Kernel.Image, "-initrd", m.path(initrdName), "-append", m.commandLine(),
		"-chardev", "socket,id=monitor,fd=3", "-mon", "chardev=monitor,mode=control",
		"-chardev", "stdio,id=console,signal=off",
		// A crash of this computer ends the machine anyway, so there is no need to flush the disk.
		"-drive", "if=none,id=root,format=raw,cache=unsafe,file=" + escape(m.spec.Disk),
		"-device", "nvme,drive=root,serial=vol0" + hex.EncodeToString(id[:8]),
		"-netdev", m.network(),
		"-device", "virtio-net-pci,netdev=net,romfile=,mac=" +
			fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", id[0], id[1], id[2], id[3], id[4]),
	}
	args = append(append(args, p.hardware...), smbios(id, p.product)...)
	if p.firmware.Name != "" {
		args = append(args, "-bios", p.firmware.Name)
	}
	if p.hasKVM() {
		return append(args, "-accel", "kvm", "-cpu", "host", "-smp", "2")
	}
	return append(args, p.emulated...)
}

// commandLine returns the kernel's command line. With net.ifnames=0, the interface keeps the name that the initrd uses.
// mitigations=off saves a third of the time where the processor is emulated.
func (m *vm) commandLine() string {
	line := m.consoles() + "net.ifnames=0 mitigations=off"
	if !m.runner.platform().hasKVM() {
		// The kernel writes changes of files to the disk after half a minute. An emulated processor does as much in
		// that time as a real one in a few seconds. On EC2, many temporary files are removed before they are written to
		// the disk.
		line += " sysctl.vm.dirty_expire_centisecs=30000 sysctl.vm.dirty_writeback_centisecs=5000"
	}
	if m.spec.Hostname != "" {
		line += " systemd.hostname=" + m.spec.Hostname
	}
	return line
}

func (m *vm) consoles() string {
	names := m.runner.Consoles
	if len(names) == 0 {
		names = []string{"ttyS0"}
	}
	var line strings.Builder
	for _, name := range names {
		line.WriteString("console=" + name)
		if strings.HasPrefix(name, "ttyS") {
			line.WriteString(",115200n8")
		}
		line.WriteString(" ")
	}
	return line.String()
}

// smbios returns the strings by which cloud-init and systemd detect EC2
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html): serial number
// and UUID are the same and begin with ec2.
func smbios(id [sha256.Size]byte, product string) []string {
	uuid := "ec2" + hex.EncodeToString(id[:])[3:32]
	uuid = strings.Join([]string{uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]}, "-")
	return []string{
		"-smbios", "type=0,vendor=Amazon EC2,version=1.0",
		"-smbios", "type=1,manufacturer=Amazon EC2,product=" + product + ",serial=" + uuid + ",uuid=" + uuid,
		"-smbios", "type=3,manufacturer=Amazon EC2,asset=Amazon EC2",
	}
}

// network returns the option for user networking: QEMU opens connections on this computer for those of the machine, or,
// without internet, drops all that are not forwarded. For each connection to a forwarded address it starts a process.
func (m *vm) network() string {
	restrict := "on"
	if m.spec.Internet {
		restrict = "off"
	}
	parts := []string{"user,id=net,ipv6=off,restrict=" + restrict + ",net=" + initrd.Network +
		",host=" + initrd.Gateway + ",dns=" + initrd.Resolver + ",dhcpstart=" + initrd.Address}
	for _, f := range m.forwards {
		command := quote(m.self) + " " + relayArgument + " " + quote(m.dir) + " " + f.socket
		parts = append(parts, "guestfwd=tcp:"+f.address+"-cmd:"+escape(command))
	}
	return strings.Join(parts, ",")
}

// forward is an address of the machine's network and the socket in the machine's directory that it is forwarded to.
type forward struct{ address, socket string }

func labAddress(port int) string { return net.JoinHostPort(initrd.Lab, strconv.Itoa(port)) }

// escape doubles the commas in a value of a QEMU option.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

// quote quotes a word for QEMU's parser of forwarded commands, which is like a shell's.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
