// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package bundle

import "os/exec"

// Without process groups, only the program itself is ended.
func prepareGroup(*exec.Cmd) {}

func endGroup(*exec.Cmd) {}
