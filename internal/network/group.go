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
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// GroupReleaseTimeout is how long a group may still be in use after its machine is gone. The network interface is
// deleted last.
const GroupReleaseTimeout = 2 * time.Minute

// Group is a security group that a bake has made.
type Group struct {
	ID   string
	Made time.Time
}

// MakeGroup makes a security group that lets nothing in, in a VPC or, without one, in EC2's default. The VPC's default
// group would let in its own members. The bake's ledger undoes it.
func MakeGroup(
	ctx context.Context, b *bake.Bake, api *awscall.EC2, vpc string, tags map[string]string,
) (Group, error) {
	name := ownership.GroupName(b.ID)
	var group Group
	entry := b.Ledger.Add("security group "+name,
		func(ctx context.Context) error { return removeGroup(ctx, b.ID, api, vpc, group) },
		func() []string { return []string{removeCommand(b.CLI, name, group)} })
	ctx, cancel := awscall.Uninterruptible(ctx)
	defer cancel()
	id, err := createGroup(ctx, b.ID, api, name, vpc, tags)
	if err != nil {
		return Group{}, fmt.Errorf("make a security group; security_group_id uses one that exists: %w", err)
	}
	group = Group{ID: id, Made: time.Now()}
	entry.What = "security group " + id
	b.Say("Made %s, which lets nothing in", entry.What)
	ownership.Tag(ctx, b, api, id)
	return group, nil
}

// createGroup returns the id of the new group. It looks for the group when the call fails: an attempt whose answer was
// lost may have made it.
func createGroup(
	ctx context.Context, bakeID string, api *awscall.EC2, name, vpc string, tags map[string]string,
) (string, error) {
	out, err := api.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName:         aws.String(name),
		Description:       aws.String("Temporary group of a machine that bakes an image; lets nothing in"),
		VpcId:             awscall.NonZeroPtr(vpc),
		TagSpecifications: []types.TagSpecification{awscall.TagSpec(types.ResourceTypeSecurityGroup, tags)},
	})
	if err == nil && aws.ToString(out.GroupId) != "" {
		return *out.GroupId, nil
	}
	if err == nil { // to the SDK, an answer of no bytes is one of no values
		err = errors.New("EC2 answered without the id of a group")
	}
	if id, findErr := findGroup(ctx, bakeID, api, vpc); findErr == nil && id != "" {
		return id, nil
	}
	return "", err
}

// findGroup returns the id of the group that a bake has made, or "" when there is none. It goes by name, which is taken
// once in a VPC. Where there are several, some are copies in other VPCs, and it returns an error.
func findGroup(ctx context.Context, bakeID string, api *awscall.EC2, vpc string) (string, error) {
	name := ownership.GroupName(bakeID)
	filters := []types.Filter{awscall.Filter("group-name", name)}
	if vpc != "" {
		filters = append(filters, awscall.Filter("vpc-id", vpc))
	}
	out, err := api.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: filters})
	if err != nil {
		return "", fmt.Errorf("look for security group %s: %w", name, err)
	}
	switch len(out.SecurityGroups) {
	case 0:
		return "", nil
	case 1:
		return aws.ToString(out.SecurityGroups[0].GroupId), nil
	}
	return "", fmt.Errorf("there are %d security groups named %s, and nothing says which of them this bake has made: "+
		"none is deleted", len(out.SecurityGroups), name)
}

// removeGroup deletes the group that MakeGroup made, or may have made when it failed: then it is found by its name.
func removeGroup(ctx context.Context, bakeID string, api *awscall.EC2, vpc string, group Group) error {
	if group.ID == "" {
		id, err := findGroup(ctx, bakeID, api, vpc)
		if err != nil || id == "" {
			return err
		}
		group.ID = id
	}
	if err := DeleteGroup(ctx, api, group, true); err != nil && !IsGroupNotFound(err) {
		return fmt.Errorf("delete security group %s: %w", group.ID, err)
	}
	return nil
}

// DeleteGroup deletes a security group. For GroupReleaseTimeout at most, it calls again while EC2 does not know a group
// that was made a moment ago and, with awaitRelease, while the group is in use. It returns EC2's error when the group
// does not exist.
func DeleteGroup(ctx context.Context, api *awscall.EC2, group Group, awaitRelease bool) error {
	var attempt awscall.Attempt
	notVisible := attempt.UnlessApplied(
		awscall.NotVisibleYet(group.Made, awscall.CodeGroupNotFound, awscall.CodeGroupIDNotFound))
	again := func(err error) bool {
		return awaitRelease && awscall.HasCode(err, awscall.CodeGroupInUse) || notVisible(err)
	}
	return awscall.RetryWhile(ctx, GroupReleaseTimeout, again, func(ctx context.Context) error {
		in := &ec2.DeleteSecurityGroupInput{GroupId: aws.String(group.ID)}
		_, err := api.DeleteSecurityGroup(ctx, in, attempt.Track)
		return err
	})
}

// IsGroupNotFound reports whether EC2 says that a security group does not exist.
func IsGroupNotFound(err error) bool {
	return awscall.HasCode(err, awscall.CodeGroupNotFound, awscall.CodeGroupIDNotFound)
}

// removeCommand returns the command with which a person deletes the group, or finds it when its id is not known.
func removeCommand(cli bake.CLI, name string, group Group) string {
	if group.ID == "" {
		return cli.Command("ec2 describe-security-groups --filters Name=group-name,Values=%s", name)
	}
	return cli.Command("ec2 delete-security-group --group-id %s", group.ID)
}

// findGroups returns the ids of the security groups of the settings. They have to exist, and to be in the machine's
// VPC.
func findGroups(ctx context.Context, c *AttachConfig, api *awscall.EC2, vpc string) ([]string, error) {
	ids := c.GroupIDs()
	in := &ec2.DescribeSecurityGroupsInput{GroupIds: ids}
	if len(ids) == 0 {
		in.Filters = awscall.FiltersWithDefault(c.SecurityGroupFilter.Filters, "vpc-id", vpc)
	}
	out, err := api.DescribeSecurityGroups(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("look up the security groups %v: %w", ids, err)
	}
	if len(ids) == 0 {
		for i := range out.SecurityGroups {
			ids = append(ids, aws.ToString(out.SecurityGroups[i].GroupId))
		}
	}
	if len(ids) == 0 {
		return nil, errors.New("security_group_filter matches no security group: " +
			"change the filter, or set security_group_ids")
	}
	for i := range out.SecurityGroups {
		g := &out.SecurityGroups[i]
		if in := aws.ToString(g.VpcId); vpc != "" && in != "" && in != vpc {
			return nil, fmt.Errorf("security group %s is in %s, and the machine will be in %s",
				aws.ToString(g.GroupId), in, vpc)
		}
	}
	return ids, nil
}
