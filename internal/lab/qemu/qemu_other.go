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

// Start returns an error, because machines cannot run here.
func (Runner) Start(context.Context, machine.Spec) (machine.Machine, error) { return nil, errNotLinux }

// Check returns the same error.
func Check(Architecture) error { return errNotLinux }

// Init does nothing here.
func Init() {}
