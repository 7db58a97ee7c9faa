// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown
//go:generate go tool -modfile=../../tools/go.mod packer-sdc mapstructure-to-hcl2 -type PolicyDocument,Statement

// Package instanceprofile is the IAM instance profile of a machine: the settings, the check that a profile exists, and
// a temporary role with its profile, which it makes and removes.
//
// It may not know the machine, nor what the policy is for.
package instanceprofile

import (
	"errors"
	"fmt"

	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// ProfileConfig says with which rights in the account the machine runs.
type ProfileConfig struct {
	// The name or the ARN of an IAM instance profile for the machine. Default: none; a bake needs none unless the
	// Image-Source itself calls AWS, or `staging` has `delivery = "profile"`.
	IamInstanceProfile string `mapstructure:"iam_instance_profile"`
	// Do not look whether `iam_instance_profile` exists before the bake begins. Default: `false`. Without the right to
	// look (`iam:GetInstanceProfile`) the check is left out as well: a bake does not need it.
	SkipProfileValidation bool `mapstructure:"skip_profile_validation"`
	// A policy for a temporary role and instance profile, which are made for the machine and removed after it. Ignored
	// when `iam_instance_profile` is set. See
	// [PolicyDocument](#temporary-iam-instance-profile-policy-document-configuration).
	TemporaryProfilePolicy *PolicyDocument `mapstructure:"temporary_iam_instance_profile_policy_document"`
}

// PolicyDocument is an IAM policy.
type PolicyDocument struct {
	// The version of IAM's policy language: `2012-10-17`.
	Version string `mapstructure:"Version" json:"Version,omitempty"`
	// What is allowed or denied; the block may be repeated. See [Statement](#statement).
	Statement []Statement `mapstructure:"Statement" json:"Statement"`
}

// Statement is one statement of an IAM policy.
type Statement struct {
	// `Allow` or `Deny`.
	Effect string `mapstructure:"Effect" json:"Effect"`
	// The actions, such as `s3:GetObject`.
	Action []string `mapstructure:"Action" json:"Action"`
	// The ARNs of what the actions may be done to.
	Resource []string `mapstructure:"Resource" json:"Resource,omitempty"`
}

// SettingPolicy is the name of the setting of the temporary policy.
const SettingPolicy = "temporary_iam_instance_profile_policy_document"

// Check returns what is wrong with the settings. It drops the temporary policy when a profile is named, with a warning.
func (c *ProfileConfig) Check() ([]string, []error) {
	policy := c.TemporaryProfilePolicy
	if policy == nil {
		return nil, nil
	}
	if c.IamInstanceProfile != "" {
		c.TemporaryProfilePolicy = nil
		return []string{SettingPolicy + " has no effect, because iam_instance_profile is set: remove one of them"}, nil
	}
	var errs []error
	if len(policy.Statement) == 0 {
		errs = append(errs, errors.New(SettingPolicy+": at least one Statement is needed"))
	}
	for i := range policy.Statement {
		within := fmt.Sprintf("%s: Statement[%d]", SettingPolicy, i)
		errs = append(errs, setting.Prefix(within, policy.Statement[i].check())...)
	}
	return nil, errs
}

func (s *Statement) check() []error {
	var errs []error
	if s.Effect != "Allow" && s.Effect != "Deny" && !setting.Unknown(s.Effect) {
		errs = append(errs, fmt.Errorf("the Effect is %q; it must be Allow or Deny", s.Effect))
	}
	if len(s.Action) == 0 {
		errs = append(errs, errors.New("an Action is needed"))
	}
	if len(s.Resource) == 0 {
		errs = append(errs, errors.New("a Resource is needed; \"*\" is all"))
	}
	return errs
}
