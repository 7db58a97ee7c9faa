// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package sandbox runs a program so that none of its processes and mounts can outlive it: in PID and mount namespaces
// that end with it, however it ends. It may not know what it runs.
//
// A program that uses it calls Init first thing in main:
//
//	func main() {
//		sandbox.Init()
//		if !sandbox.Inside() {
//			code, err := sandbox.Run(os.Args, nil)
//			...
//			os.Exit(code)
//		}
//		...
//	}
package sandbox
