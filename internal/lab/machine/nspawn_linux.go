// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"context"
	"errors"
)

type nspawn struct{}

// Nspawn runs machines with systemd-nspawn.
func Nspawn() Runner { return nspawn{} }

func (nspawn) Start(context.Context, Spec) (Machine, error) { return nil, errors.New("not yet") }

// Check says what is missing here to run machines, with the Debian package to
// install for each.
func Check() error { return nil }
