// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build !linux && !darwin

package template

// ParentArgs returns nothing: on this system, the command line of another process cannot be read.
func ParentArgs() []string { return nil }
