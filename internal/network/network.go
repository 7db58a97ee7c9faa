// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package network

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// Network is where a machine may be attached.
type Network struct {
	// VPC is empty when the template names no part of the network but security groups.
	VPC string
	// Subnets are those the machine may be in, the best first. Without any, EC2 chooses one of the default subnets.
	Subnets []Subnet
	// Groups are the ids of the machine's security groups.
	Groups []string
	// GroupMade is when the bake itself made the group, zero for groups that were there before. EC2 may not know a new
	// group yet.
	GroupMade time.Time
}

// Subnet is a subnet, and the availability zone it is in.
type Subnet struct{ ID, Zone string }

// Find returns the network that the settings describe. It fails when a part of it does not exist, or when the parts do
// not belong together. Without settings of security groups, the network has none, and VPC is where to make one.
func Find(ctx context.Context, c *AttachConfig, api *awscall.EC2) (Network, error) {
	vpc, err := findVPC(ctx, c, api)
	if err != nil {
		return Network{}, err
	}
	var subnets []types.Subnet
	needsGroup := len(c.GroupIDs()) == 0 && c.SecurityGroupFilter.isEmpty()
	switch {
	case c.SubnetID != "":
		vpc, subnets, err = namedSubnet(ctx, c, api, vpc)
	case !c.SubnetFilter.isEmpty():
		vpc, subnets, err = filteredSubnets(ctx, c, api, vpc)
	case vpc != "":
		subnets, err = subnetsOfVPC(ctx, c, api, vpc)
	case needsGroup:
		vpc, err = defaultVPC(ctx, api)
	}
	if err != nil {
		return Network{}, err
	}
	n := Network{VPC: vpc}
	for _, s := range subnets {
		n.Subnets = append(n.Subnets, Subnet{ID: aws.ToString(s.SubnetId), Zone: aws.ToString(s.AvailabilityZone)})
	}
	if !needsGroup {
		n.Groups, err = findGroups(ctx, c, api, vpc)
	}
	return n, err
}

// findVPC returns the VPC of vpc_id or the one VPC that vpc_filter finds, or "" when neither is set.
func findVPC(ctx context.Context, c *AttachConfig, api *awscall.EC2) (string, error) {
	if c.VpcID != "" || c.VpcFilter.isEmpty() {
		return c.VpcID, nil
	}
	out, err := api.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{
		Filters: awscall.FiltersWithDefault(c.VpcFilter.Filters, "state", "available"),
	})
	if err != nil {
		return "", fmt.Errorf("look for the VPC of vpc_filter: %w", err)
	}
	if len(out.Vpcs) != 1 {
		return "", fmt.Errorf("vpc_filter matches %d VPCs; it must match one: change the filter, or set vpc_id",
			len(out.Vpcs))
	}
	return aws.ToString(out.Vpcs[0].VpcId), nil
}

// defaultVPC returns the VPC in which EC2 puts a machine for which no subnet is named.
func defaultVPC(ctx context.Context, api *awscall.EC2) (string, error) {
	out, err := api.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{
		Filters: []types.Filter{awscall.Filter("is-default", "true")},
	})
	if err != nil {
		return "", fmt.Errorf("look for the default VPC: %w", err)
	}
	if len(out.Vpcs) == 0 {
		return "", errors.New("the account has no default VPC in this region: set subnet_id")
	}
	return aws.ToString(out.Vpcs[0].VpcId), nil
}
