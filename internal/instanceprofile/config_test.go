// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instanceprofile

import (
	"errors"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/placeholder"
)

func statement(effect string, action, resource []string) *PolicyDocument {
	return &PolicyDocument{Version: "2012-10-17", Statement: []Statement{{effect, action, resource}}}
}

func TestCheckRefusesAPolicy(t *testing.T) {
	some := []string{"*"}
	for name, c := range map[string]struct {
		policy *PolicyDocument
		want   string
	}{
		"no statement": {&PolicyDocument{}, SettingPolicy + ": at least one Statement is needed"},
		"an unknown effect": {
			statement("Permit", some, some), `Statement[0]: the Effect is "Permit"; it must be Allow or Deny`,
		},
		"no action":   {statement("Allow", nil, some), "Statement[0]: an Action is needed"},
		"no resource": {statement("Deny", some, nil), "Statement[0]: a Resource is needed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := (&ProfileConfig{TemporaryProfilePolicy: c.policy}).Check()
			if err := errors.Join(errs...); len(errs) != 1 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("errors %v, want %q", err, c.want)
			}
		})
	}
}

func TestCheckAccepts(t *testing.T) {
	unknown := []string{placeholder.Unknown}
	for name, policy := range map[string]*PolicyDocument{
		"no policy":                      nil,
		"a policy":                       statement("Allow", []string{"s3:GetObject"}, []string{"*"}),
		"a policy that is not known yet": statement(placeholder.Unknown, unknown, unknown),
	} {
		if warnings, errs := (&ProfileConfig{TemporaryProfilePolicy: policy}).Check(); len(warnings)+len(errs) > 0 {
			t.Errorf("%s: warnings %q, errors %v", name, warnings, errs)
		}
	}
}

func TestCheckDropsThePolicyWhenAProfileIsNamed(t *testing.T) {
	c := ProfileConfig{IamInstanceProfile: "x", TemporaryProfilePolicy: new(PolicyDocument)}
	warnings, errs := c.Check()
	if len(warnings) != 1 || !strings.Contains(warnings[0], "iam_instance_profile is set") || len(errs) > 0 {
		t.Errorf("warnings %q, errors %v", warnings, errs)
	}
	if c.TemporaryProfilePolicy != nil {
		t.Error("the policy is still there")
	}
}
