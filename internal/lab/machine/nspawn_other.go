//go:build !linux

// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"context"
	"errors"
)

var errNotLinux = errors.New("run machines: they need Linux (namespaces and systemd-nspawn); use a Linux host or a virtual machine with root")

type nspawn struct{}

// Nspawn runs machines with systemd-nspawn; elsewhere than on Linux it only
// says so.
func Nspawn() Runner { return nspawn{} }

func (nspawn) Start(context.Context, Spec) (Machine, error) { return nil, errNotLinux }

// Check says that machines cannot run here.
func Check(...bool) error { return errNotLinux }

// Tidy has nothing to do where machines cannot run.
func Tidy() {}
