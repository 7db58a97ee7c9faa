// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// NetworkConfig says where in the account's network the machine runs.
type NetworkConfig struct {
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
	VpcFilter NetworkFilter `mapstructure:"vpc_filter"`
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
	SecurityGroupFilter NetworkFilter `mapstructure:"security_group_filter"`
	// Give the machine a public address, or do not. Default: what the subnet says. A machine in a subnet with an
	// internet gateway and no NAT needs one to reach package mirrors; nothing connects to it.
	AssociatePublicIPAddress config.Trilean `mapstructure:"associate_public_ip_address"`
}

// NetworkFilter finds a part of the network by what EC2 knows about it.
type NetworkFilter struct {
	// What to look for, as in `{ "tag:Class" = "build" }`: the filters of DescribeVpcs, DescribeSubnets or
	// DescribeSecurityGroups. Several values of one filter are separated by commas, and any of them will do.
	Filters map[string]string `mapstructure:"filters"`
	// The same as `filters`, as a repeatable block of a `name` and a `value`.
	Filter config.NameValues `mapstructure:"filter"`
}

// SubnetFilter finds the subnet. When several match, `most_free` or `random` has to say which one to take.
type SubnetFilter struct {
	NetworkFilter `mapstructure:",squash"`
	// Take the subnet with most free addresses. Default: `false`.
	MostFree bool `mapstructure:"most_free"`
	// Take any subnet. Default: `false`. `most_free` has precedence.
	Random bool `mapstructure:"random"`
}

func (f *NetworkFilter) empty() bool { return len(f.Filters) == 0 }

func (f *NetworkFilter) prepare(name string) []error {
	errs := f.Filter.CopyOn(&f.Filters)
	for _, err := range checkFilters(f.Filters) {
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	return errs
}

func (c *NetworkConfig) prepare() ([]string, []error) {
	var errs []error
	errs = append(errs, c.SubnetFilter.NetworkFilter.prepare("subnet_filter")...)
	errs = append(errs, c.VpcFilter.prepare("vpc_filter")...)
	errs = append(errs, c.SecurityGroupFilter.prepare("security_group_filter")...)
	if known(c.SecurityGroupID) && len(c.SecurityGroupIDs) > 0 && !slices.ContainsFunc(c.SecurityGroupIDs, unknown) {
		errs = append(errs, errors.New("security_group_id and security_group_ids exclude each other: keep one of them"))
	}
	if f := &c.SubnetFilter; f.empty() && (f.MostFree || f.Random) {
		errs = append(errs, errors.New("subnet_filter: most_free and random choose among the subnets that filters finds: set filters"))
	}
	return nil, errs
}

// groupIDs are the security groups the template names by their ids.
func (c *NetworkConfig) groupIDs() []string {
	if c.SecurityGroupID != "" {
		return []string{c.SecurityGroupID}
	}
	return c.SecurityGroupIDs
}
