// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package network

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// account is the network of an account. It records the filters of the last call of each kind.
type account struct {
	vpcs    []types.Vpc
	subnets []types.Subnet
	groups  []types.SecurityGroup
	err     error // of every call

	calls   int
	filters map[string]map[string][]string // by the call
}

func (a *account) api() *awscall.EC2 {
	a.filters = map[string]map[string][]string{}
	record := func(call string, filters []types.Filter) {
		a.calls++
		a.filters[call] = map[string][]string{}
		for _, f := range filters {
			a.filters[call][aws.ToString(f.Name)] = f.Values
		}
	}
	return &awscall.EC2{
		DescribeVpcs: func(
			_ context.Context, in *ec2.DescribeVpcsInput, _ ...func(*ec2.Options),
		) (*ec2.DescribeVpcsOutput, error) {
			record("vpcs", in.Filters)
			return &ec2.DescribeVpcsOutput{Vpcs: a.vpcs}, a.err
		},
		DescribeSubnets: func(
			_ context.Context, in *ec2.DescribeSubnetsInput, _ ...func(*ec2.Options),
		) (*ec2.DescribeSubnetsOutput, error) {
			record("subnets", in.Filters)
			found := slices.DeleteFunc(slices.Clone(a.subnets), func(s types.Subnet) bool {
				return len(in.SubnetIds) > 0 && !slices.Contains(in.SubnetIds, aws.ToString(s.SubnetId))
			})
			return &ec2.DescribeSubnetsOutput{Subnets: found}, a.err
		},
		DescribeSecurityGroups: func(
			_ context.Context, in *ec2.DescribeSecurityGroupsInput, _ ...func(*ec2.Options),
		) (*ec2.DescribeSecurityGroupsOutput, error) {
			record("groups", in.Filters)
			return &ec2.DescribeSecurityGroupsOutput{SecurityGroups: a.groups}, a.err
		},
	}
}

func subnet(id, vpc, zone string, free int32) types.Subnet {
	return types.Subnet{
		SubnetId: aws.String(id), VpcId: aws.String(vpc), AvailabilityZone: aws.String(zone),
		AvailableIpAddressCount: aws.Int32(free),
	}
}

func group(id, vpc string) types.SecurityGroup {
	return types.SecurityGroup{GroupId: aws.String(id), VpcId: aws.String(vpc)}
}

// home returns an account with a VPC of two subnets.
func home() *account {
	return &account{
		vpcs: []types.Vpc{{VpcId: aws.String("vpc-1")}},
		subnets: []types.Subnet{
			subnet("subnet-1", "vpc-1", "us-east-1a", 10), subnet("subnet-2", "vpc-1", "us-east-1b", 20),
		},
		groups: []types.SecurityGroup{group("sg-1", "vpc-1"), group("sg-2", "vpc-1")},
	}
}

func TestFind(t *testing.T) {
	byTag := map[string]string{"tag:Class": `build, "a, b"`}
	both := []Subnet{{"subnet-2", "us-east-1b"}, {"subnet-1", "us-east-1a"}}
	for name, c := range map[string]struct {
		config AttachConfig
		want   Network
		calls  int
	}{
		"no setting":        {AttachConfig{}, Network{VPC: "vpc-1"}, 1},
		"a group, no place": {AttachConfig{SecurityGroupID: "sg-1"}, Network{Groups: []string{"sg-1"}}, 1},
		"a subnet": {
			AttachConfig{SubnetID: "subnet-1"}, Network{VPC: "vpc-1", Subnets: []Subnet{{"subnet-1", "us-east-1a"}}}, 1,
		},
		"a VPC":                  {AttachConfig{VpcID: "vpc-1"}, Network{VPC: "vpc-1", Subnets: both}, 1},
		"random without filters": {AttachConfig{SubnetFilter: SubnetFilter{Random: true}}, Network{VPC: "vpc-1"}, 1},
		"most_free without filters": {
			AttachConfig{SubnetFilter: SubnetFilter{MostFree: true}}, Network{VPC: "vpc-1"}, 1,
		},
		"most_free of a VPC": {
			AttachConfig{VpcID: "vpc-1", SubnetFilter: SubnetFilter{MostFree: true, Random: true}},
			Network{VPC: "vpc-1", Subnets: both}, 1,
		},
		"filters": {
			AttachConfig{
				VpcFilter:           FilterConfig{Filters: byTag},
				SubnetFilter:        SubnetFilter{FilterConfig: FilterConfig{Filters: byTag}, MostFree: true},
				SecurityGroupFilter: FilterConfig{Filters: byTag},
			},
			Network{VPC: "vpc-1", Subnets: both, Groups: []string{"sg-1", "sg-2"}}, 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := home()
			got, err := Find(t.Context(), &c.config, a.api())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if a.calls != c.calls {
				t.Errorf("%d calls, want %d", a.calls, c.calls)
			}
		})
	}
}

// TestFindTakesAnySubnetOfTheVPC checks that random without filters chooses among the subnets of the VPC.
func TestFindTakesAnySubnetOfTheVPC(t *testing.T) {
	first := map[string]bool{}
	for range 100 { // the chance that one of two is never the first is 2^-99
		c := AttachConfig{VpcID: "vpc-1", SubnetFilter: SubnetFilter{Random: true}}
		got, err := Find(t.Context(), &c, home().api())
		if err != nil || len(got.Subnets) != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
		first[got.Subnets[0].ID] = true
	}
	if len(first) != 2 {
		t.Errorf("the first subnet was always %v", first)
	}
}

func TestFindAddsToTheFiltersWhatTheTemplateLeavesOut(t *testing.T) {
	a := home()
	subnets := FilterConfig{Filters: map[string]string{"tag:Class": `build, "a, b"`}}
	_, err := Find(t.Context(), &AttachConfig{
		VpcFilter:           FilterConfig{Filters: map[string]string{"isDefault": "false"}},
		SubnetFilter:        SubnetFilter{FilterConfig: subnets, Random: true},
		SecurityGroupFilter: FilterConfig{Filters: map[string]string{"group-name": "x"}},
		AvailabilityZone:    "us-east-1a",
	}, a.api())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string][]string{
		"vpcs": {"isDefault": {"false"}, "state": {"available"}},
		"subnets": {
			"tag:Class": {"build", "a, b"}, "state": {"available"}, "vpc-id": {"vpc-1"},
			"availability-zone": {"us-east-1a"},
		},
		"groups": {"group-name": {"x"}, "vpc-id": {"vpc-1"}},
	}
	if diff := cmp.Diff(want, a.filters); diff != "" {
		t.Errorf("filters (-want +got):\n%s", diff)
	}
}

func TestFindLeavesOutSubnetsOfOtherVPCs(t *testing.T) {
	a := home()
	a.subnets = append(a.subnets, subnet("subnet-3", "vpc-2", "us-east-1a", 5))
	got, err := Find(t.Context(), &AttachConfig{
		SubnetFilter: SubnetFilter{FilterConfig: FilterConfig{Filters: map[string]string{"tag:a": "b"}},
			MostFree: true},
	}, a.api())
	want := Network{VPC: "vpc-1", Subnets: []Subnet{{"subnet-2", "us-east-1b"}, {"subnet-1", "us-east-1a"}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, -want +got:\n%s", err, diff)
	}
}

func TestFindRefuses(t *testing.T) {
	anything := FilterConfig{Filters: map[string]string{"tag:a": "b"}}
	for name, c := range map[string]struct {
		config AttachConfig
		change func(*account)
		want   string
	}{
		"several VPCs": {
			AttachConfig{VpcFilter: anything}, func(a *account) { a.vpcs = append(a.vpcs, a.vpcs[0]) },
			"vpc_filter matches 2 VPCs",
		},
		"no VPC":          {AttachConfig{VpcFilter: anything}, func(a *account) { a.vpcs = nil }, "matches 0 VPCs"},
		"no default VPC":  {AttachConfig{}, func(a *account) { a.vpcs = nil }, "no default VPC in this region"},
		"no such subnet":  {AttachConfig{SubnetID: "subnet-9"}, nil, "subnet_id subnet-9 does not exist"},
		"a wrong VPC":     {AttachConfig{SubnetID: "subnet-1", VpcID: "vpc-2"}, nil, "in vpc-1, not in the VPC vpc-2"},
		"a wrong zone":    {AttachConfig{SubnetID: "subnet-1", AvailabilityZone: "x"}, nil, "not in availability_zone"},
		"several subnets": {AttachConfig{SubnetFilter: SubnetFilter{FilterConfig: anything}}, nil, "matches 2 subnets"},
		"no subnet": {
			AttachConfig{SubnetFilter: SubnetFilter{FilterConfig: anything}}, func(a *account) { a.subnets = nil },
			"matches no subnet",
		},
		"a VPC without subnets": {
			AttachConfig{VpcID: "vpc-1"}, func(a *account) { a.subnets = nil },
			"vpc-1 has no subnet the machine could be in",
		},
		"no group": {
			AttachConfig{SecurityGroupFilter: anything}, func(a *account) { a.groups = nil },
			"security_group_filter matches no security group",
		},
		"a group of another VPC": {
			AttachConfig{SubnetID: "subnet-1", SecurityGroupIDs: []string{"sg-3"}},
			func(a *account) { a.groups = []types.SecurityGroup{group("sg-3", "vpc-2")} }, "sg-3 is in vpc-2",
		},
		"an error of EC2": {
			AttachConfig{SubnetID: "subnet-1"}, func(a *account) { a.err = errors.New("not allowed") },
			"look up subnet_id subnet-1: not allowed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := home()
			if c.change != nil {
				c.change(a)
			}
			if _, err := Find(t.Context(), &c.config, a.api()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
