//go:build !linux

// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"context"
	"errors"
)

var errNotLinux = errors.New("run machines: they need Linux (namespaces and systemd-nspawn); use a Linux host or a " +
	"virtual machine with root")

type nspawn struct{}

// Nspawn returns a Runner that fails, because this is not Linux.
func Nspawn() Runner { return nspawn{} }

func (nspawn) Start(context.Context, Spec) (Machine, error) { return nil, errNotLinux }

// Check returns an error, because machines cannot run here.
func Check(...bool) error { return errNotLinux }

// Tidy does nothing, because machines cannot run here.
func Tidy() {}

// SettingsProtected returns an error, because machines cannot run here.
func SettingsProtected() error { return errNotLinux }
