// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/baseimage"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/qemu"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sandbox"
)

// runner is what runs the machines, by the name that --runner knows.
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

// check says what is missing here.
func (r runner) check(internet bool) error {
	if r == virtual {
		return qemu.Check()
	}
	return machine.Check(internet)
}

// server is how the server part is started: containers are mounts and processes that must not
// survive it, virtual machines end with it by themselves.
func (r runner) server() func(argv []string, files []*os.File) (int, error) {
	if r == virtual {
		return sandbox.Child
	}
	return sandbox.Run
}

// tidy removes what machines leave.
func (r runner) tidy() {
	if r == container {
		machine.Tidy()
	}
}

// virtualMachine says whether an instance is one, in a lab whose own runner this is.
func (r runner) virtualMachine(i cloud.Instance) bool {
	return r.or(i.Tags[cloud.RunnerTag]) == virtual
}

// or is the runner of a name, and r where there is none or an unknown one.
func (r runner) or(name string) runner {
	other := r
	_ = other.parse(name) // it leaves what it does not know alone
	return other
}

// machines starts each machine with the runner that is asked for, if any, else with the lab's own. A
// lab without a sandbox has virtual machines only.
type machines struct {
	own   runner
	boxes machine.Runner
	vms   func() (machine.Runner, error)
}

func (r runner) machines(ctx context.Context, h home) (machines, error) {
	m := machines{own: r, boxes: machine.Nspawn(), vms: sync.OnceValues(func() (machine.Runner, error) { return h.vms(ctx) })}
	if r == virtual { // what is missing is said now, and not at the first launch
		_, err := m.vms()
		return m, err
	}
	return m, nil
}

// vms is what runs virtual machines.
func (h home) vms(ctx context.Context) (machine.Runner, error) {
	if err := qemu.Check(); err != nil {
		return nil, err
	}
	k, err := baseimage.EnsureKernel(ctx, h.base(), os.Stderr)
	if errors.Is(err, fs.ErrPermission) && h.base() != h.dir { // the cache is someone else's
		k, err = baseimage.EnsureKernel(ctx, h.dir, os.Stderr)
	}
	return qemu.Runner{Kernel: qemu.Kernel{Image: k.Image, Modules: k.Modules}}, err
}

// Start implements machine.Runner.
func (m machines) Start(ctx context.Context, s machine.Spec) (machine.Machine, error) {
	switch wanted := m.own.or(s.Runner); {
	case wanted == virtual:
		vms, err := m.vms()
		if err != nil {
			return nil, err
		}
		return vms.Start(ctx, s)
	case m.own == virtual:
		return nil, errors.New("start a container: this lab was started with --runner qemu and has virtual machines only")
	}
	return m.boxes.Start(ctx, s)
}
