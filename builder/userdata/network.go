// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// checkNetwork finds the subnet and the VPC the machine will be in, and makes sure that its security groups are there.
func (b *bake) checkNetwork(ctx context.Context) error {
	found, err := findNetwork(ctx, &b.config.NetworkConfig, b.aws.ec2)
	if err != nil {
		return err
	}
	b.network = found
	return nil
}

func findNetwork(ctx context.Context, c *NetworkConfig, api networkReader) (network, error) {
	n := network{vpc: c.VpcID, groups: c.groupIDs()}
	var err error
	if n.vpc == "" && !c.VpcFilter.empty() {
		if n.vpc, err = filteredVPC(ctx, c, api); err != nil {
			return network{}, err
		}
	}
	groupless := len(n.groups) == 0 && c.SecurityGroupFilter.empty()
	switch {
	case c.SubnetID != "":
		err = n.takeSubnet(ctx, c, api)
	case !c.SubnetFilter.empty():
		err = n.filterSubnets(ctx, c, api)
	case n.vpc != "":
		err = n.roomiestSubnet(ctx, c, api)
	case groupless:
		n.vpc, err = defaultVPC(ctx, api)
	}
	if err == nil && !groupless {
		err = n.takeGroups(ctx, c, api)
	}
	return n, err
}

// filteredVPC is the one VPC that vpc_filter finds.
func filteredVPC(ctx context.Context, c *NetworkConfig, api networkReader) (string, error) {
	out, err := api.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: withDefault(c.VpcFilter.Filters, "state", "available")})
	if err != nil {
		return "", fmt.Errorf("look for the VPC of vpc_filter: %w", err)
	}
	if len(out.Vpcs) != 1 {
		return "", fmt.Errorf("vpc_filter matches %d VPCs; it must match one: change the filter, or set vpc_id", len(out.Vpcs))
	}
	return aws.ToString(out.Vpcs[0].VpcId), nil
}

// takeSubnet takes the subnet the template names, and its VPC.
func (n *network) takeSubnet(ctx context.Context, c *NetworkConfig, api networkReader) error {
	out, err := api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{c.SubnetID}})
	if err != nil {
		return fmt.Errorf("look up subnet_id %s: %w", c.SubnetID, err)
	}
	if len(out.Subnets) == 0 {
		return fmt.Errorf("subnet_id %s does not exist", c.SubnetID)
	}
	vpc := aws.ToString(out.Subnets[0].VpcId)
	if n.vpc != "" && n.vpc != vpc {
		return fmt.Errorf("subnet_id %s is in %s, not in the VPC %s of vpc_id or vpc_filter: leave those out", c.SubnetID, vpc, n.vpc)
	}
	if zone := aws.ToString(out.Subnets[0].AvailabilityZone); c.AvailabilityZone != "" && c.AvailabilityZone != zone {
		return fmt.Errorf("subnet_id %s is in %s, not in availability_zone %s: leave availability_zone out",
			c.SubnetID, zone, c.AvailabilityZone)
	}
	n.vpc = vpc
	n.choose(out.Subnets)
	return nil
}

// filterSubnets takes a subnet that subnet_filter finds, and keeps the others in mind where it may be any of them.
func (n *network) filterSubnets(ctx context.Context, c *NetworkConfig, api networkReader) error {
	asked := c.SubnetFilter.Filters
	in := &ec2.DescribeSubnetsInput{Filters: withDefault(asked, "state", "available")}
	if _, ok := asked["vpc-id"]; !ok && n.vpc != "" {
		in.Filters = append(in.Filters, filter("vpc-id", n.vpc))
	}
	if c.AvailabilityZone != "" {
		in.Filters = append(in.Filters, filter("availability-zone", c.AvailabilityZone))
	}
	out, err := api.DescribeSubnets(ctx, in)
	if err != nil {
		return fmt.Errorf("look for the subnet of subnet_filter: %w", err)
	}
	found := out.Subnets
	switch f := &c.SubnetFilter; {
	case len(found) == 0:
		return errors.New("subnet_filter matches no subnet: change the filter, or set subnet_id")
	case len(found) > 1 && !f.MostFree && !f.Random:
		return fmt.Errorf("subnet_filter matches %d subnets: set most_free or random, or narrow the filter", len(found))
	case f.MostFree:
		roomiestFirst(found)
	default:
		rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] }) //nolint:gosec // any will do
	}
	n.vpc = aws.ToString(found[0].VpcId)
	n.choose(slices.DeleteFunc(found, func(s types.Subnet) bool { return aws.ToString(s.VpcId) != n.vpc }))
	return nil
}

// roomiestSubnet takes the subnet of the VPC with most free addresses.
func (n *network) roomiestSubnet(ctx context.Context, c *NetworkConfig, api networkReader) error {
	in := &ec2.DescribeSubnetsInput{Filters: []types.Filter{filter("vpc-id", n.vpc), filter("state", "available")}}
	if c.AvailabilityZone != "" {
		in.Filters = append(in.Filters, filter("availability-zone", c.AvailabilityZone))
	}
	out, err := api.DescribeSubnets(ctx, in)
	if err != nil {
		return fmt.Errorf("look for a subnet of %s: %w", n.vpc, err)
	}
	if len(out.Subnets) == 0 {
		return fmt.Errorf("%s has no subnet the machine could be in: set subnet_id", n.vpc)
	}
	roomiestFirst(out.Subnets)
	n.choose(out.Subnets)
	return nil
}

func roomiestFirst(subnets []types.Subnet) {
	slices.SortStableFunc(subnets, func(x, y types.Subnet) int {
		return cmp.Compare(aws.ToInt32(y.AvailableIpAddressCount), aws.ToInt32(x.AvailableIpAddressCount))
	})
}

// choose takes the subnets the machine may be in, the best first.
func (n *network) choose(subnets []types.Subnet) {
	n.subnets = nil
	for _, s := range subnets {
		n.subnets = append(n.subnets, site{subnet: aws.ToString(s.SubnetId), zone: aws.ToString(s.AvailabilityZone)})
	}
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

// takeGroups makes sure that the security groups are there, and in the machine's VPC, or finds them by their filter.
func (n *network) takeGroups(ctx context.Context, c *NetworkConfig, api networkReader) error {
	in := &ec2.DescribeSecurityGroupsInput{GroupIds: n.groups}
	if len(n.groups) == 0 {
		in.Filters = withDefault(c.SecurityGroupFilter.Filters, "vpc-id", n.vpc)
	}
	out, err := api.DescribeSecurityGroups(ctx, in)
	if err != nil {
		return fmt.Errorf("look up the security groups %v: %w", n.groups, err)
	}
	if len(n.groups) == 0 {
		if len(out.SecurityGroups) == 0 {
			return errors.New("security_group_filter matches no security group: change the filter, or set security_group_ids")
		}
		for i := range out.SecurityGroups {
			n.groups = append(n.groups, aws.ToString(out.SecurityGroups[i].GroupId))
		}
	}
	for _, g := range out.SecurityGroups {
		if vpc := aws.ToString(g.VpcId); n.vpc != "" && vpc != "" && vpc != n.vpc {
			return fmt.Errorf("security group %s is in %s, and the machine will be in %s", aws.ToString(g.GroupId), vpc, n.vpc)
		}
	}
	return nil
}
