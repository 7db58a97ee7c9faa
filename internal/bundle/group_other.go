// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package bundle

import "os/exec"

// Where there are no process groups, the program is ended alone.
func prepareGroup(*exec.Cmd) {}

func endGroup(*exec.Cmd) {}
