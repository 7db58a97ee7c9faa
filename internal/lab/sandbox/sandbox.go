// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package sandbox runs a program so that nothing of it can outlive it: in PID
// and mount namespaces of its own that die with it, whatever kills it. It knows
// nothing of what it runs.
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
