//go:build !linux

// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"context"
	"errors"
	"io"
)

// Ensure returns an error, because base images are built on Linux.
func Ensure(context.Context, string, string, io.Writer) (Image, error) {
	return Image{}, errors.New("make a base image: it needs Linux and root, to run machines of it anyway")
}

// EnsureKernel returns an error, because virtual machines run on Linux.
func EnsureKernel(context.Context, string, string, io.Writer) (Kernel, error) {
	return Kernel{}, errors.New("get a kernel: virtual machines need Linux")
}
