// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepProfile makes a role and an instance profile of the template's temporary policy.
type stepProfile struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepProfile) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return step(ctx, state, phaseStage, makeProfile)
}

// trust lets EC2's machines, and nobody else, work as the role.
const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// checkProfile makes sure that the instance profile is there. Those who may not look are not stopped: to run the machine
// takes iam:PassRole only, and says as well when there is no such profile.
func (b *bake) checkProfile(ctx context.Context) error {
	b.profile = b.config.IamInstanceProfile
	if b.profile == "" || b.config.SkipProfileValidation {
		return nil
	}
	_, err := b.aws.iam.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{
		InstanceProfileName: aws.String(path.Base(b.profile)), // of an ARN, too
	})
	switch {
	case hasCode(err, codeNoEntity):
		return fmt.Errorf("iam_instance_profile: there is no instance profile %s in the account; skip_profile_validation leaves this check out", b.profile)
	case err != nil:
		b.say("Whether there is an instance profile %s cannot be told: %s", b.profile, err)
	}
	return nil
}

func makeProfile(ctx context.Context, b *bake) error {
	policy := b.config.TemporaryProfilePolicy
	if policy == nil {
		return nil
	}
	document, err := json.Marshal(policy)
	if err != nil {
		return fmt.Errorf("write the policy of %s: %w", settingPolicy, err)
	}
	tags, err := b.runTags()
	if err != nil {
		return err
	}
	name := "bakery-" + b.id
	b.ledger.add("IAM role and instance profile "+name, func(ctx context.Context) error {
		return removeProfile(ctx, b.aws.iam, name)
	})
	ctx, cancel := settle(ctx)
	defer cancel()
	if err := createProfile(ctx, b.aws.iam, name, string(document), iamTags(tags)); err != nil {
		return fmt.Errorf("make a temporary instance profile; iam_instance_profile uses one that exists: %w", err)
	}
	b.profile = name
	b.say("Made the role and instance profile %s", name)
	return nil
}

// createProfile makes a role with a policy, and an instance profile with the role. That something exists already says
// that an earlier call made it, whose answer was lost: the name is this bake's alone.
func createProfile(ctx context.Context, api profileMaker, name, policy string, tags []types.Tag) error {
	_, err := api.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(trust), Tags: tags,
		Description: aws.String("Temporary role of a machine that bakes an image"),
	})
	if orGone(err, codeEntityExists) != nil {
		return fmt.Errorf("create the role: %w", err)
	}
	_, err = api.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: aws.String(name), PolicyName: aws.String(name), PolicyDocument: aws.String(policy),
	})
	if err != nil {
		return fmt.Errorf("put the policy of %s: %w", settingPolicy, err)
	}
	_, err = api.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String(name), Tags: tags})
	if orGone(err, codeEntityExists) != nil {
		return fmt.Errorf("create the instance profile: %w", err)
	}
	_, err = api.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{
		InstanceProfileName: aws.String(name), RoleName: aws.String(name),
	})
	// A profile has one role at most: it has this one already.
	if orGone(err, codeLimitExceeded) != nil {
		return fmt.Errorf("add the role to the instance profile: %w", err)
	}
	return nil
}

// removeProfile removes what createProfile makes, or has made of it.
func removeProfile(ctx context.Context, api profileMaker, name string) error {
	_, detach := api.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{
		InstanceProfileName: aws.String(name), RoleName: aws.String(name),
	})
	_, profile := api.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: aws.String(name)})
	_, policy := api.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String(name), PolicyName: aws.String(name)})
	_, role := api.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String(name)})
	return errors.Join(orGone(detach, codeNoEntity), orGone(profile, codeNoEntity), orGone(policy, codeNoEntity), orGone(role, codeNoEntity))
}

// notInIAMTag is what IAM takes in no tag, other than EC2:
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html.
var notInIAMTag = regexp.MustCompile(`[^\p{L}\p{Z}\p{N}_.:/=+\-@]`)

func iamTags(tags map[string]string) []types.Tag {
	var all []types.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		all = append(all, types.Tag{Key: aws.String(key), Value: aws.String(notInIAMTag.ReplaceAllString(tags[key], "-"))})
	}
	return all
}
