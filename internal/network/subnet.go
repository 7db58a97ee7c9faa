// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package network

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

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// namedSubnet returns the subnet of subnet_id and its VPC. It refuses a subnet outside of the VPC and the zone of the
// settings.
func namedSubnet(
	ctx context.Context, c *AttachConfig, api *awscall.EC2, wantVPC string,
) (vpc string, subnets []types.Subnet, err error) {
	out, err := api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{c.SubnetID}})
	if err != nil {
		return "", nil, fmt.Errorf("look up subnet_id %s: %w", c.SubnetID, err)
	}
	if len(out.Subnets) == 0 {
		return "", nil, fmt.Errorf("subnet_id %s does not exist", c.SubnetID)
	}
	vpc = aws.ToString(out.Subnets[0].VpcId)
	if wantVPC != "" && wantVPC != vpc {
		return "", nil, fmt.Errorf("subnet_id %s is in %s, not in the VPC %s of vpc_id or vpc_filter: leave those out",
			c.SubnetID, vpc, wantVPC)
	}
	if zone := aws.ToString(out.Subnets[0].AvailabilityZone); c.AvailabilityZone != "" && c.AvailabilityZone != zone {
		return "", nil, fmt.Errorf("subnet_id %s is in %s, not in availability_zone %s: leave availability_zone out",
			c.SubnetID, zone, c.AvailabilityZone)
	}
	return vpc, out.Subnets, nil
}

// filteredSubnets returns the subnets that subnet_filter finds, the best first, and their VPC. Those of other VPCs than
// the first subnet's are left out: a security group belongs to one VPC.
func filteredSubnets(
	ctx context.Context, c *AttachConfig, api *awscall.EC2, wantVPC string,
) (vpc string, subnets []types.Subnet, err error) {
	f := &c.SubnetFilter
	in := &ec2.DescribeSubnetsInput{Filters: awscall.FiltersWithDefault(f.Filters, "state", "available")}
	if _, ok := f.Filters["vpc-id"]; !ok && wantVPC != "" {
		in.Filters = append(in.Filters, awscall.Filter("vpc-id", wantVPC))
	}
	in.Filters = append(in.Filters, zoneFilter(c)...)
	out, err := api.DescribeSubnets(ctx, in)
	if err != nil {
		return "", nil, fmt.Errorf("look for the subnet of subnet_filter: %w", err)
	}
	found := out.Subnets
	switch {
	case len(found) == 0:
		return "", nil, errors.New("subnet_filter matches no subnet: change the filter, or set subnet_id")
	case len(found) > 1 && !f.MostFree && !f.Random:
		return "", nil, fmt.Errorf("subnet_filter matches %d subnets: set most_free or random, or narrow the filter",
			len(found))
	case f.MostFree:
		sortMostFreeFirst(found)
	default:
		shuffle(found)
	}
	vpc = aws.ToString(found[0].VpcId)
	return vpc, slices.DeleteFunc(found, func(s types.Subnet) bool { return aws.ToString(s.VpcId) != vpc }), nil
}

// subnetsOfVPC returns the subnets of a VPC, the one with most free addresses first, or with random of a subnet_filter
// that has no filters, in any order.
func subnetsOfVPC(ctx context.Context, c *AttachConfig, api *awscall.EC2, vpc string) ([]types.Subnet, error) {
	filters := []types.Filter{awscall.Filter("vpc-id", vpc), awscall.Filter("state", "available")}
	out, err := api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: append(filters, zoneFilter(c)...)})
	if err != nil {
		return nil, fmt.Errorf("look for a subnet of %s: %w", vpc, err)
	}
	if len(out.Subnets) == 0 {
		return nil, fmt.Errorf("%s has no subnet the machine could be in: set subnet_id", vpc)
	}
	if f := &c.SubnetFilter; f.Random && !f.MostFree {
		shuffle(out.Subnets)
	} else {
		sortMostFreeFirst(out.Subnets)
	}
	return out.Subnets, nil
}

// zoneFilter returns the filter of availability_zone, or none when it is not set.
func zoneFilter(c *AttachConfig) []types.Filter {
	if c.AvailabilityZone == "" {
		return nil
	}
	return []types.Filter{awscall.Filter("availability-zone", c.AvailabilityZone)}
}

func sortMostFreeFirst(subnets []types.Subnet) {
	slices.SortStableFunc(subnets, func(x, y types.Subnet) int {
		return cmp.Compare(aws.ToInt32(y.AvailableIpAddressCount), aws.ToInt32(x.AvailableIpAddressCount))
	})
}

func shuffle(subnets []types.Subnet) {
	rand.Shuffle(len(subnets), func(i, j int) { //nolint:gosec // any order is as good
		subnets[i], subnets[j] = subnets[j], subnets[i]
	})
}
