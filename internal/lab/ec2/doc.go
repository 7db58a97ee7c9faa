// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package ec2 is the EC2 API of the lab, version 2016-11-15: it parses a request's form, calls package cloud, and
// answers with XML. It may not know signatures or policies; the caller checks both.
//
// Names of parameters and elements are those of https://docs.aws.amazon.com/AWSEC2/latest/APIReference/.
package ec2
