// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown
//go:generate go tool -modfile=../../tools/go.mod packer-sdc mapstructure-to-hcl2 -type FilterConfig,SubnetFilter

// Package network is where in the account's network a machine runs: the settings, the search for the VPC, the subnets
// and the security groups, and a temporary security group, which it makes and deletes.
//
// It may not know what runs there: instances and their settings.
package network

import (
	"errors"
	"slices"

	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// AttachConfig says where in the account's network the machine runs.
type AttachConfig struct {
	// The subnet to run the machine in. Default: what `subnet_filter` finds, else the subnet of the VPC with most free
	// addresses when one is named, else the default subnet of the account. The machine needs no address Packer can
	// reach, but most bakes need a way out to package mirrors and to S3.
	SubnetID string `mapstructure:"subnet_id"`
	// How to find the subnet. See [SubnetFilter](#subnet-filter-configuration). Ignored when `subnet_id` is set.
	SubnetFilter SubnetFilter `mapstructure:"subnet_filter"`
	// The VPC to run the machine in. Default: the subnet's, or what `vpc_filter` finds.
	VpcID string `mapstructure:"vpc_id"`
	// How to find the VPC: exactly one must match. See [NetworkFilter](#network-filter-configuration). Ignored when
	// `vpc_id` is set.
	VpcFilter FilterConfig `mapstructure:"vpc_filter"`
	// The availability zone to run the machine in. Default: the subnet's, or what AWS chooses.
	AvailabilityZone string `mapstructure:"availability_zone"`
	// The security group of the machine. Default: a temporary one that lets nothing in. Conflicts with
	// `security_group_ids`.
	SecurityGroupID string `mapstructure:"security_group_id"`
	// The security groups of the machine. Default: a temporary one that lets nothing in. Conflicts with
	// `security_group_id`.
	SecurityGroupIDs []string `mapstructure:"security_group_ids"`
	// How to find the security groups; the machine is in all that match. See
	// [NetworkFilter](#network-filter-configuration). Ignored when groups are named.
	SecurityGroupFilter FilterConfig `mapstructure:"security_group_filter"`
	// Give the machine a public address, or do not. Default: what the subnet says. A machine in a subnet with an
	// internet gateway and no NAT needs one to reach package mirrors; nothing connects to it.
	AssociatePublicIPAddress config.Trilean `mapstructure:"associate_public_ip_address"`
}

// FilterConfig finds a part of the network by what EC2 knows about it.
type FilterConfig struct {
	// What to look for, as in `{ "tag:Class" = "build" }`: the filters of DescribeVpcs, DescribeSubnets or
	// DescribeSecurityGroups. Several values of one filter are separated by commas, and any of them will do.
	Filters map[string]string `mapstructure:"filters"`
	// The same as `filters`, as a repeatable block of a `name` and a `value`.
	Filter config.NameValues `mapstructure:"filter"`
}

// SubnetFilter finds the subnet. When several match, `most_free` or `random` has to say which one to take. Without
// filters, the subnets are those of the VPC of `vpc_id` or `vpc_filter`; without a VPC, the machine runs in a default
// subnet of the account, as with amazon-ebs.
type SubnetFilter struct {
	FilterConfig `mapstructure:",squash"`
	// Take the subnet with most free addresses. Default: `false`.
	MostFree bool `mapstructure:"most_free"`
	// Take any subnet. Default: `false`. `most_free` has precedence.
	Random bool `mapstructure:"random"`
}

// Check returns what is wrong with the settings. It adds the filter blocks to the filters.
func (c *AttachConfig) Check() ([]string, []error) {
	var errs []error
	errs = append(errs, c.SubnetFilter.FilterConfig.check("subnet_filter")...)
	errs = append(errs, c.VpcFilter.check("vpc_filter")...)
	errs = append(errs, c.SecurityGroupFilter.check("security_group_filter")...)
	groupsKnown := len(c.SecurityGroupIDs) > 0 && !slices.ContainsFunc(c.SecurityGroupIDs, setting.Unknown)
	if setting.Known(c.SecurityGroupID) && groupsKnown {
		errs = append(errs, errors.New("security_group_id and security_group_ids exclude each other: keep one of them"))
	}
	return nil, errs
}

// GroupIDs returns the security groups that the template names by their ids.
func (c *AttachConfig) GroupIDs() []string {
	if c.SecurityGroupID != "" {
		return []string{c.SecurityGroupID}
	}
	return c.SecurityGroupIDs
}

// check adds the filter blocks to the filters, and returns what is wrong with them.
func (f *FilterConfig) check(name string) []error {
	errs := f.Filter.CopyOn(&f.Filters)
	return append(errs, setting.Prefix(name, setting.CheckFilters(f.Filters))...)
}

func (f *FilterConfig) isEmpty() bool { return len(f.Filters) == 0 }
