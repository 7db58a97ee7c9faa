// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package cloud is the state of EC2 in the lab: instances, images, snapshots, volumes, and the network resources they
// need, with EC2's rules for them. It uses the terms and error codes of EC2's API. It may not know HTTP or XML, which
// are for package ec2, and it runs machines only through machine.Runner, so that tests can use machines that are
// goroutines.
//
// Images, snapshots and their tags are stored in a directory, and the next process has them, too. Everything else,
// instances above all, ends with the Cloud.
package cloud
