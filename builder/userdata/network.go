// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// checkNetwork finds the subnet and the VPC the machine will be in, and makes sure that its security groups are there.
func (b *bake) checkNetwork(ctx context.Context) error {
	found, err := findNetwork(ctx, &b.config.RunConfig, b.aws.ec2)
	if err != nil {
		return err
	}
	b.network = found
	return nil
}

func findNetwork(ctx context.Context, c *RunConfig, api networkReader) (network, error) {
	n := network{vpc: c.VpcID, subnet: c.SubnetID, groups: c.groups()}
	var err error
	switch {
	case c.SubnetID != "":
		n.vpc, err = vpcOf(ctx, c, api)
	case c.VpcID != "":
		n.subnet, err = roomiestSubnet(ctx, c, api)
	case len(n.groups) == 0:
		n.vpc, err = defaultVPC(ctx, api)
	}
	if err != nil {
		return network{}, err
	}
	if len(n.groups) > 0 {
		err = checkGroups(ctx, n, api)
	}
	return n, err
}

// vpcOf is the VPC of the subnet the template names.
func vpcOf(ctx context.Context, c *RunConfig, api networkReader) (string, error) {
	out, err := api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{c.SubnetID}})
	if err != nil {
		return "", fmt.Errorf("look up subnet_id %s: %w", c.SubnetID, err)
	}
	if len(out.Subnets) == 0 {
		return "", fmt.Errorf("subnet_id %s does not exist", c.SubnetID)
	}
	subnet := out.Subnets[0]
	vpc := aws.ToString(subnet.VpcId)
	if c.VpcID != "" && c.VpcID != vpc {
		return "", fmt.Errorf("subnet_id %s is in %s, not in vpc_id %s: leave vpc_id out", c.SubnetID, vpc, c.VpcID)
	}
	if zone := aws.ToString(subnet.AvailabilityZone); c.AvailabilityZone != "" && c.AvailabilityZone != zone {
		return "", fmt.Errorf("subnet_id %s is in %s, not in availability_zone %s: leave availability_zone out",
			c.SubnetID, zone, c.AvailabilityZone)
	}
	return vpc, nil
}

// roomiestSubnet is the subnet of vpc_id with most free addresses.
func roomiestSubnet(ctx context.Context, c *RunConfig, api networkReader) (string, error) {
	in := &ec2.DescribeSubnetsInput{Filters: []types.Filter{filter("vpc-id", c.VpcID), filter("state", "available")}}
	if c.AvailabilityZone != "" {
		in.Filters = append(in.Filters, filter("availability-zone", c.AvailabilityZone))
	}
	out, err := api.DescribeSubnets(ctx, in)
	if err != nil {
		return "", fmt.Errorf("look for a subnet of vpc_id %s: %w", c.VpcID, err)
	}
	var best types.Subnet
	for _, s := range out.Subnets {
		if best.SubnetId == nil || aws.ToInt32(s.AvailableIpAddressCount) > aws.ToInt32(best.AvailableIpAddressCount) {
			best = s
		}
	}
	if best.SubnetId == nil {
		return "", fmt.Errorf("vpc_id %s has no subnet the machine could be in: set subnet_id", c.VpcID)
	}
	return *best.SubnetId, nil
}

// defaultVPC is where EC2 puts a machine for which no subnet is named.
func defaultVPC(ctx context.Context, api networkReader) (string, error) {
	out, err := api.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{filter("is-default", "true")}})
	if err != nil {
		return "", fmt.Errorf("look for the default VPC: %w", err)
	}
	if len(out.Vpcs) == 0 {
		return "", fmt.Errorf("the account has no default VPC in this region: set subnet_id")
	}
	return aws.ToString(out.Vpcs[0].VpcId), nil
}

// checkGroups makes sure that the security groups are there, and in the machine's VPC.
func checkGroups(ctx context.Context, n network, api networkReader) error {
	out, err := api.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: n.groups})
	if err != nil {
		return fmt.Errorf("look up the security groups %v: %w", n.groups, err)
	}
	for _, g := range out.SecurityGroups {
		if vpc := aws.ToString(g.VpcId); n.vpc != "" && vpc != "" && vpc != n.vpc {
			return fmt.Errorf("security group %s is in %s, and the machine will be in %s", aws.ToString(g.GroupId), vpc, n.vpc)
		}
	}
	return nil
}
