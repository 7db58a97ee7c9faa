// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/baseimage"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/qemu"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sandbox"
)

// runner is what runs the machines, by its name for --runner.
type runner string

const (
	container runner = "" // or its name, nspawn
	virtual   runner = "qemu"
)

func (r *runner) parse(name string) error {
	switch name {
	case "nspawn":
		*r = container
	case "qemu":
		*r = virtual
	default:
		return fmt.Errorf("there is no runner %q; nspawn and qemu are there", name)
	}
	return nil
}

// check returns an error that names what is missing on this computer.
func (r runner) check(internet bool) error {
	if r == virtual {
		return qemu.Check(qemu.X86)
	}
	return machine.Check(internet)
}

// server returns how to start the server: in a sandbox for containers, whose mounts and processes must end with it.
// Virtual machines end with it anyway.
func (r runner) server() func(argv []string, files []*os.File) (int, error) {
	if r == virtual {
		return sandbox.Child
	}
	return sandbox.Run
}

// tidy removes what machines leave behind.
func (r runner) tidy() {
	if r == container {
		machine.Tidy()
	}
}

// virtualMachine reports whether an instance is a virtual machine, in a lab with this runner.
func (r runner) virtualMachine(i cloud.Instance) bool {
	return r.orNamed(i.Tags[cloud.RunnerTag]) == virtual
}

// orNamed returns the runner with a name; r when there is no such runner.
func (r runner) orNamed(name string) runner {
	other := r
	_ = other.parse(name) // does not change it when the name is unknown
	return other
}

// machines starts each machine with the runner that its spec names, by default with the lab's own. A lab without a
// sandbox has virtual machines only.
type machines struct {
	own        runner
	containers machine.Runner
	vms        map[qemu.Architecture]func() (machine.Runner, error)
}

func (r runner) machines(ctx context.Context, h home, consoles []string) (machines, error) {
	m := machines{own: r, containers: machine.Nspawn(), vms: map[qemu.Architecture]func() (machine.Runner, error){}}
	for _, a := range []qemu.Architecture{qemu.X86, qemu.ARM64} {
		m.vms[a] = sync.OnceValues(func() (machine.Runner, error) { return h.vms(ctx, a, consoles) })
	}
	if r == virtual { // so that errors are returned now, and not at the first launch
		_, err := m.vms[qemu.X86]()
		return m, err
	}
	fmt.Fprintln(os.Stderr, "bakery-lab:", containment(machine.SettingsProtected()))
	return m, nil
}

// containment says what root in a container can change on this computer. unprotected is why it can write kernel
// settings in /proc/sys, too.
func containment(unprotected error) string {
	if unprotected != nil {
		return "the machines are containers: root on them can write this computer's kernel settings, in /proc/sys (" +
			unprotected.Error() + ") and in /sys; --runner qemu keeps both apart"
	}
	return "the machines are containers: root on them cannot write this computer's kernel settings in /proc/sys, " +
		"but it can write those in /sys; --runner qemu keeps both apart"
}

// vms returns the runner of virtual machines of one architecture. consoles are the consoles of their kernels.
func (h home) vms(ctx context.Context, a qemu.Architecture, consoles []string) (machine.Runner, error) {
	if err := qemu.Check(a); err != nil {
		return nil, err
	}
	program, err := programFor(a)
	if err != nil {
		return nil, err
	}
	packages := map[qemu.Architecture]string{qemu.X86: "amd64", qemu.ARM64: "arm64"}[a]
	k, err := baseimage.EnsureKernel(ctx, h.base(), packages, os.Stderr)
	if errors.Is(err, fs.ErrPermission) && h.base() != h.dir { // the cache is read-only
		k, err = baseimage.EnsureKernel(ctx, h.dir, packages, os.Stderr)
	}
	return qemu.Runner{Architecture: a, Program: program, Kernel: qemu.Kernel{Image: k.Image, Modules: k.Modules},
		Consoles: consoles}, err
}

// programFor returns the path of this program, built for an architecture: it is beside this one.
func programFor(a qemu.Architecture) (string, error) {
	own, err := os.Executable()
	if err != nil || a == qemu.X86 {
		return own, err
	}
	path := filepath.Join(filepath.Dir(own), "bakery-lab-"+string(a))
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("run virtual machines of %s: this program is their initrd, too: %w; build it with: "+
			"CGO_ENABLED=0 GOARCH=%s go build -o %s ./cmd/bakery-lab", a, err, a, path)
	}
	return path, nil
}

// architectureOf returns the architecture of a machine's disk. Images that were registered without one are i386.
func architectureOf(s machine.Spec) qemu.Architecture {
	if s.Architecture == string(qemu.ARM64) {
		return qemu.ARM64
	}
	return qemu.X86
}

// Start implements machine.Runner.
func (m machines) Start(ctx context.Context, s machine.Spec) (machine.Machine, error) {
	switch wanted := m.own.orNamed(s.Runner); {
	case wanted == virtual:
		vms, err := m.vms[architectureOf(s)]()
		if err != nil {
			return nil, err
		}
		if fs, err := disk.FileSystemOf(s.Disk); err != nil || fs != disk.Ext4 {
			return nil, errors.Join(err, fmt.Errorf("start a virtual machine: its disk has %s, and the kernel for "+
				"virtual machines boots from ext4 only", cmp.Or(fs, "no file system")))
		}
		return vms.Start(ctx, s)
	case m.own == virtual:
		return nil, errors.New("start a container: this lab was started with --runner qemu and has virtual machines " +
			"only")
	case architectureOf(s) == qemu.ARM64:
		return nil, errors.New("start a container: the image is for arm64, which runs as a virtual machine only: " +
			"--runner qemu, or the tag " + cloud.RunnerTag + "=qemu of the instance")
	}
	return m.containers.Start(ctx, s)
}
