//go:build !linux

// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"context"
	"errors"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

var errNotLinux = errors.New("run virtual machines: the lab needs Linux")

// Start says that machines cannot run here.
func (Runner) Start(context.Context, machine.Spec) (machine.Machine, error) { return nil, errNotLinux }

// Check says the same.
func Check() error { return errNotLinux }

// Init has nothing to do here.
func Init() {}
