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
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepProfile makes a role and an instance profile of the template's temporary policy.
type stepProfile struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepProfile) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return baking(ctx, state, phaseStage, makeProfile)
}

// profilePath is the path of temporary roles and profiles: by it, IAM lists them without all others.
const profilePath = "/bakery/"

// trust lets EC2's machines, and nobody else, work as the role. EC2 has a name of its own in China:
// https://docs.amazonaws.cn/en_us/aws/latest/userguide/iam.html.
func trust(region string) string {
	service := "ec2.amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		service += ".cn"
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`
}

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
	name := expiringName(b.expiry(), b.id)
	var made time.Time
	b.ledger.add("IAM role and instance profile "+name, func(ctx context.Context) error {
		return removeProfile(ctx, b.aws.iam, name, made)
	}).by(func() []string { return b.endProfile(name) })
	ctx, cancel := settle(ctx)
	defer cancel()
	role := &iam.CreateRoleInput{
		RoleName: aws.String(name), Path: aws.String(profilePath), AssumeRolePolicyDocument: aws.String(trust(b.aws.config.Region)), Tags: iamTags(tags),
		Description: aws.String("Temporary role of a machine that bakes an image"),
	}
	if err := createProfile(ctx, b.aws.iam, role, string(document)); err != nil {
		return fmt.Errorf("make a temporary instance profile; iam_instance_profile uses one that exists: %w", err)
	}
	b.profile, made = name, time.Now()
	b.say("Made the role and instance profile %s", name)
	return nil
}

// createProfile makes a role with a policy, and an instance profile of its name with the role. That something exists
// already says that an earlier call made it, whose answer was lost: the name is this bake's alone. IAM may not know for a
// moment what it has made.
func createProfile(ctx context.Context, api profileMaker, role *iam.CreateRoleInput, policy string) error {
	name, made := role.RoleName, time.Now()
	unsettled := func(err error) bool { return notYet(made, codeNoEntity)(err) || hasCode(err, codeModification) }
	_, err := api.CreateRole(ctx, role)
	if orGone(err, codeEntityExists) != nil {
		return fmt.Errorf("create the role: %w", err)
	}
	err = retryWhile(ctx, profileDelay, unsettled, func(ctx context.Context) error {
		_, err := api.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: name, PolicyDocument: aws.String(policy)})
		return err
	})
	if err != nil {
		return fmt.Errorf("put the policy of %s: %w", settingPolicy, err)
	}
	_, err = api.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: name, Path: role.Path, Tags: role.Tags})
	if orGone(err, codeEntityExists) != nil {
		return fmt.Errorf("create the instance profile: %w", err)
	}
	err = retryWhile(ctx, profileDelay, unsettled, func(ctx context.Context) error {
		_, err := api.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: name})
		return err
	})
	// A profile has one role at most: it has this one already.
	if orGone(err, codeLimitExceeded) != nil {
		return fmt.Errorf("add the role to the instance profile: %w", err)
	}
	return nil
}

// removeProfile removes what createProfile makes, or has made of it when it failed; made is when it did not. IAM may still
// believe for a moment that what was taken apart belongs together.
func removeProfile(ctx context.Context, api profileMaker, name string, made time.Time) error {
	profile, role := aws.String(name), aws.String(name)
	unknown := notYet(made, codeNoEntity)
	unsettled := func(err error) bool { return unknown(err) || hasCode(err, codeDeleteConflict, codeModification) }
	var errs []error
	for _, remove := range []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := api.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: profile, RoleName: role})
			return err
		},
		func(ctx context.Context) error {
			_, err := api.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: profile})
			return err
		},
		func(ctx context.Context) error {
			_, err := api.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: role, PolicyName: role})
			return err
		},
		func(ctx context.Context) error {
			_, err := api.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: role})
			return err
		},
	} {
		errs = append(errs, orGone(retryWhile(ctx, conflictTimeout, unsettled, remove), codeNoEntity))
	}
	return errors.Join(errs...)
}

// conflictTimeout is how long IAM may take to have taken a role out of its profile.
const conflictTimeout = 30 * time.Second

// notInIAMTag is what IAM takes in no tag, other than EC2:
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html.
var notInIAMTag = regexp.MustCompile(`[^\p{L}\p{Z}\p{N}_.:/=+\-@]`)

// iamTags are tags as IAM takes them. To it, two keys are the same that differ in capital letters only.
func iamTags(tags map[string]string) []types.Tag {
	var all []types.Tag
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		name := notInIAMTag.ReplaceAllString(key, "-")
		if folded := strings.ToLower(name); !seen[folded] {
			seen[folded] = true
			all = append(all, types.Tag{Key: aws.String(name), Value: aws.String(notInIAMTag.ReplaceAllString(tags[key], "-"))})
		}
	}
	return all
}
