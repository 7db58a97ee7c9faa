// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instanceprofile

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// Path is the path of temporary roles and profiles. With it, IAM lists them without all others.
const Path = "/bakery/"

// Make makes a role with a policy, and an instance profile with that role, and returns the name of both. The name says
// when they expire, so that a sweep finds them. The bake's ledger undoes it.
func Make(
	ctx context.Context, b *bake.Bake, clients *awscall.Clients, policy *PolicyDocument, tags map[string]string,
) (string, error) {
	document, err := json.Marshal(policy)
	if err != nil {
		return "", fmt.Errorf("write the policy of %s: %w", SettingPolicy, err)
	}
	name := bake.ExpiringName(b.Expiry(), b.ID)
	tags = maps.Clone(tags)
	tags[bake.TagSelf] = name // which is known before it is made
	var made time.Time
	b.Ledger.Add("IAM role and instance profile "+name,
		func(ctx context.Context) error { return Remove(ctx, clients.IAM, name, made) },
		func() []string { return removeCommands(b.CLI, name) })
	ctx, cancel := awscall.Uninterruptible(ctx)
	defer cancel()
	role := &iam.CreateRoleInput{
		RoleName:                 aws.String(name),
		Path:                     aws.String(Path),
		AssumeRolePolicyDocument: aws.String(trustPolicy(clients.Region())),
		Tags:                     iamTags(tags),
		Description:              aws.String("Temporary role of a machine that bakes an image"),
	}
	if err := create(ctx, clients.IAM, role, string(document)); err != nil {
		return "", fmt.Errorf("make a temporary instance profile; iam_instance_profile uses one that exists: %w", err)
	}
	made = time.Now()
	b.Say("Made the role and instance profile %s", name)
	return name, nil
}

// trustPolicy returns the policy that lets the instances of EC2, and nobody else, use the role. EC2 has another name in
// China: https://docs.amazonaws.cn/en_us/aws/latest/userguide/iam.html.
func trustPolicy(region string) string {
	service := "ec2.amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		service += ".cn"
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service +
		`"},"Action":"sts:AssumeRole"}]}`
}

// create makes a role with a policy, and an instance profile of the role's name with the role. When something exists
// already, an earlier attempt has made it and its answer was lost, because only this bake uses the name. IAM may not
// know for a moment what it has just made.
func create(ctx context.Context, api *awscall.IAM, role *iam.CreateRoleInput, policy string) error {
	name := role.RoleName
	notVisible := awscall.NotVisibleYet(time.Now(), awscall.CodeNoSuchEntity)
	again := func(err error) bool {
		return notVisible(err) || awscall.HasCode(err, awscall.CodeConcurrentModification)
	}
	_, err := api.CreateRole(ctx, role)
	if err != nil && !awscall.HasCode(err, awscall.CodeEntityExists) {
		return fmt.Errorf("create the role: %w", err)
	}
	err = awscall.RetryWhile(ctx, awscall.VisibleTimeout, again, func(ctx context.Context) error {
		_, err := api.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
			RoleName: name, PolicyName: name, PolicyDocument: aws.String(policy),
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("put the policy of %s: %w", SettingPolicy, err)
	}
	_, err = api.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{
		InstanceProfileName: name, Path: role.Path, Tags: role.Tags,
	})
	if err != nil && !awscall.HasCode(err, awscall.CodeEntityExists) {
		return fmt.Errorf("create the instance profile: %w", err)
	}
	err = awscall.RetryWhile(ctx, awscall.VisibleTimeout, again, func(ctx context.Context) error {
		_, err := api.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{
			InstanceProfileName: name, RoleName: name,
		})
		return err
	})
	// A profile has one role at most. IAM refuses another one, so this profile has the role already.
	if err != nil && !awscall.HasCode(err, awscall.CodeLimitExceeded) {
		return fmt.Errorf("add the role to the instance profile: %w", err)
	}
	return nil
}
