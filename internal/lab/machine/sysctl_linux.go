// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Root of a container has this computer's uid 0, and may mount /proc/sys anew, writable. Nothing but the kernel stops
// its writes then: a BPF program of the machine's control group, which the kernel asks at each write below /proc/sys.

// ownSettings are the prefixes of the settings in /proc/sys that a machine has of its own, because they belong to its
// namespaces.
var ownSettings = []string{"net/", "fs/mqueue/", "kernel/hostname", "kernel/domainname", "kernel/sem", "kernel/msg",
	"kernel/shm"}

// protectSettings keeps the processes in a control group, and in those below it, from writing the settings of this
// computer's kernel. It needs Linux 5.2 or later, with CONFIG_CGROUP_BPF.
func protectSettings(group string) error {
	if group == "" {
		return errors.New("there are no control groups of version 2")
	}
	program, err := loadProgram(settingsProgram())
	if err != nil {
		return fmt.Errorf("load a BPF program: %w", err)
	}
	defer unix.Close(program)
	dir, err := unix.Open(group, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the control group: %w", err)
	}
	defer unix.Close(dir)
	attribute := struct{ target, program, kind, flags uint32 }{
		uint32(dir), uint32(program), //nolint:gosec // file descriptors
		unix.BPF_CGROUP_SYSCTL, unix.BPF_F_ALLOW_MULTI,
	}
	//nolint:gosec // bpf(2) takes a pointer
	_, err = bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attribute), unsafe.Sizeof(attribute))
	if err != nil {
		return fmt.Errorf("attach a BPF program: %w", err)
	}
	return nil
}

// SettingsProtected returns why machines on this computer can write the kernel settings in its /proc/sys; nil when the
// kernel keeps them from it. Those in /sys they can write in any case: nothing but a user namespace would stop root
// there, in which systemd-nspawn cannot use the network that the lab has made.
func SettingsProtected() error {
	g, err := makeGroups(fmt.Sprintf("%sprobe-%d", machinePrefix, os.Getpid()))
	if err != nil {
		return err
	}
	return errors.Join(protectSettings(g.unified()), g.remove())
}

// instruction is one of BPF: https://docs.kernel.org/bpf/standardization/instruction-set.html.
type instruction struct {
	code      uint8
	registers uint8 // destination in the low half, source in the high half
	offset    int16
	immediate int32
}

const (
	getName  = 101 // bpf_sysctl_get_name
	nameSize = 24  // on the stack: a multiple of eight, more than any prefix has
)

// settingsProgram returns a program that allows reading, and writing what begins with one of the prefixes.
func settingsProgram() []instruction {
	const (
		loadWord    = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W
		loadByte    = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_B
		storeDouble = unix.BPF_ST | unix.BPF_MEM | unix.BPF_DW
		set         = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K
		copyTo      = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_X
		add         = unix.BPF_ALU64 | unix.BPF_ADD | unix.BPF_K
		jumpUnless  = unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K
		call        = unix.BPF_JMP | unix.BPF_CALL
		exit        = unix.BPF_JMP | unix.BPF_EXIT
	)
	allow, refuse := instruction{code: set, immediate: 1}, instruction{code: set, immediate: 0}
	end := instruction{code: exit}
	p := []instruction{
		{loadWord, 0x12, 0, 0}, // r2 = context.write
		{jumpUnless, 0x02, 2, 0}, allow, end,
		{storeDouble, 0x0a, -nameSize, 0}, {storeDouble, 0x0a, -nameSize + 8, 0},
		{storeDouble, 0x0a, -nameSize + 16, 0},
		{copyTo, 0xa2, 0, 0}, {add, 0x02, 0, -nameSize}, // r2 = the name's place; r1 is the context still
		{set, 0x03, 0, nameSize}, {set, 0x04, 0, 0}, {call, 0, 0, getName},
	}
	for _, prefix := range ownSettings {
		for i := range len(prefix) {
			// to the next prefix, behind the rest of this one, which has two for each byte, and behind its end
			rest := int16(2*(len(prefix)-i-1) + 2) //nolint:gosec // a prefix has few bytes
			p = append(p, instruction{loadByte, 0xa2, int16(i - nameSize), 0},
				instruction{jumpUnless, 0x02, rest, int32(prefix[i])})
		}
		p = append(p, allow, end)
	}
	return append(p, refuse, end)
}

func loadProgram(p []instruction) (int, error) {
	license := []byte("GPL\x00") // which some helpers ask for
	attribute := struct {
		kind, count           uint32
		instructions, license uint64
		level, size           uint32
		log                   uint64
		version, flags        uint32
		name                  [16]byte
		index, expected       uint32
	}{
		kind: unix.BPF_PROG_TYPE_CGROUP_SYSCTL, count: uint32(len(p)), //nolint:gosec // some hundred
		instructions: address(&p[0]), license: address(&license[0]), expected: unix.BPF_CGROUP_SYSCTL,
	}
	//nolint:gosec // bpf(2) takes a pointer
	n, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attribute), unsafe.Sizeof(attribute))
	runtime.KeepAlive(p)
	runtime.KeepAlive(license)
	return n, err
}

// address returns where a value is, for the kernel. The caller keeps the value alive.
func address[T any](of *T) uint64 {
	return uint64(uintptr(unsafe.Pointer(of))) //nolint:gosec // bpf(2) takes addresses as numbers
}

func bpf(command int, attribute unsafe.Pointer, size uintptr) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attribute), size)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
