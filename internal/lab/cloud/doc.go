// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package cloud is the state of the lab: instances, images, snapshots, volumes and the few network
// things they need, with the rules EC2 has about them. It knows the words and error codes of EC2's
// API, but no HTTP and no XML (package ec2 speaks those), and it runs machines only through
// machine.Runner, so a test can run it on machines that are nothing but goroutines.
//
// Images, snapshots and their tags are kept in a directory and are there again in the next
// process. Everything else, instances above all, ends with the Cloud.
package cloud
