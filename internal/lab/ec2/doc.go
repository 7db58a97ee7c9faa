// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package ec2 speaks the EC2 query protocol, version 2016-11-15: it reads a request's form into a
// tree, asks package cloud, and writes the XML that EC2 would. It knows nothing about signatures
// and policies; the caller has dealt with those and says who is asking through Request.
//
// Names of parameters and elements are those of
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/.
package ec2
