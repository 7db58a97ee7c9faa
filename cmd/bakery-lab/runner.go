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
		return qemu.Check()
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
	vms        func() (machine.Runner, error)
}

func (r runner) machines(ctx context.Context, h home, consoles []string) (machines, error) {
	m := machines{own: r, containers: machine.Nspawn(),
		vms: sync.OnceValues(func() (machine.Runner, error) { return h.vms(ctx, consoles) })}
	if r == virtual { // so that errors are returned now, and not at the first launch
		_, err := m.vms()
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

// vms returns the runner of virtual machines, whose kernels have these consoles.
func (h home) vms(ctx context.Context, consoles []string) (machine.Runner, error) {
	if err := qemu.Check(); err != nil {
		return nil, err
	}
	k, err := baseimage.EnsureKernel(ctx, h.base(), os.Stderr)
	if errors.Is(err, fs.ErrPermission) && h.base() != h.dir { // the cache is read-only
		k, err = baseimage.EnsureKernel(ctx, h.dir, os.Stderr)
	}
	return qemu.Runner{Kernel: qemu.Kernel{Image: k.Image, Modules: k.Modules}, Consoles: consoles}, err
}

// Start implements machine.Runner.
func (m machines) Start(ctx context.Context, s machine.Spec) (machine.Machine, error) {
	switch wanted := m.own.orNamed(s.Runner); {
	case wanted == virtual:
		vms, err := m.vms()
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
	}
	return m.containers.Start(ctx, s)
}
