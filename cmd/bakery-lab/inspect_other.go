// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build !linux

package main

import "errors"

var errNotLinux = errors.New("look into an image: it needs Linux")

func mountScratch(...string) (string, error) { return "", errNotLinux }

func changeRoot(string) error { return errNotLinux }
