// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepGroup makes a security group that lets nothing in, when the template names none. The VPC's default group would let
// in its own members.
type stepGroup struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepGroup) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return baking(ctx, state, phaseStage, makeGroup)
}

// groupReleaseTimeout is how long a group may still be in use after its machine is gone: the network interface goes last.
const groupReleaseTimeout = 2 * time.Minute

func makeGroup(ctx context.Context, b *bake) error {
	if len(b.network.groups) > 0 {
		return nil
	}
	tags, err := b.runTags()
	if err != nil {
		return err
	}
	name := "bakery-" + b.id
	e := b.ledger.add("security group "+name, func(ctx context.Context) error { return b.removeGroup(ctx, name) }).
		by(func() []string { return b.endGroup(name) })
	own, cancel := settle(ctx)
	defer cancel()
	out, err := b.aws.ec2.CreateSecurityGroup(own, &ec2.CreateSecurityGroupInput{
		GroupName:         aws.String(name),
		Description:       aws.String("Temporary group of a machine that bakes an image; lets nothing in"),
		VpcId:             some(b.network.vpc),
		TagSpecifications: []types.TagSpecification{tagSpec(types.ResourceTypeSecurityGroup, tags)},
	})
	if err != nil {
		id, findErr := b.findGroup(own, name)
		if findErr != nil || id == "" {
			return fmt.Errorf("make a security group; security_group_id uses one that exists: %w", err)
		}
		out = &ec2.CreateSecurityGroupOutput{GroupId: aws.String(id)} // the first attempt took effect, its answer was lost
	}
	e.what = "security group " + aws.ToString(out.GroupId)
	b.network.groups, b.network.made = []string{aws.ToString(out.GroupId)}, time.Now()
	b.say("Made %s, which lets nothing in", e.what)
	return nil
}

// findGroup is the id of this bake's group, or "".
func (b *bake) findGroup(ctx context.Context, name string) (string, error) {
	out, err := b.aws.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{filter("group-name", name)},
	})
	if err != nil {
		return "", fmt.Errorf("look for security group %s: %w", name, err)
	}
	if len(out.SecurityGroups) == 0 {
		return "", nil
	}
	return aws.ToString(out.SecurityGroups[0].GroupId), nil
}

func (b *bake) removeGroup(ctx context.Context, name string) error {
	if len(b.network.groups) == 0 { // the answer to the call that made it was lost
		id, err := b.findGroup(ctx, name)
		if err != nil || id == "" {
			return err
		}
		b.network.groups = []string{id}
	}
	id := b.network.groups[0]
	var tried removal
	unknown := tried.unlessLost(notYet(b.network.made, codeGroupNotFound, codeGroupNotFound2))
	again := func(err error) bool { return hasCode(err, codeGroupInUse) || unknown(err) }
	err := retryWhile(ctx, groupReleaseTimeout, again, func(ctx context.Context) error {
		_, err := b.aws.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(id)}, tried.noted)
		return err
	})
	if orGone(err, codeGroupNotFound, codeGroupNotFound2) != nil {
		return fmt.Errorf("delete security group %s: %w", id, err)
	}
	return nil
}
