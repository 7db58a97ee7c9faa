// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// limitedRole is the prefix of the names of the roles that assume makes.
const limitedRole = "baker-"

// assume makes a role with a policy in a lab and returns the credentials of a session of it.
func assume(t *testing.T, cfg aws.Config, policy string) *types.Credentials {
	t.Helper()
	name := fmt.Sprintf("%s%x", limitedRole, rand.Uint64())
	api := iam.NewFromConfig(cfg)
	_, err := api.CreateRole(t.Context(), &iam.CreateRoleInput{
		RoleName: &name, AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[]}`),
	})
	if err == nil {
		_, err = api.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &name, PolicyName: &name,
			PolicyDocument: &policy})
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := sts.NewFromConfig(cfg).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::" + cloud.Account + ":role/" + name), RoleSessionName: aws.String("e2e"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Credentials
}

// limited returns the lab for a user with only these rights.
func (q *quickLab) limited(t *testing.T, r rights) *quickLab {
	t.Helper()
	c := assume(t, q.sdk("us-east-1"), r.policy(t))
	limited := &quickLab{Lab: q.Lab, profile: fmt.Sprintf("baker-%x", rand.Uint64())}
	limited.configure(t, *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	return limited
}

// holding returns the lab for a user with only the rights of some documents of docs/iam.
func (l *lab) holding(t *testing.T, documents ...string) *lab {
	t.Helper()
	c := assume(t, l.config(), rights{documents: documents, anywhere: true}.policy(t))
	limited := *l
	limited.env = append(slices.Clip(limited.env), // the last one of a name counts
		"AWS_ACCESS_KEY_ID="+*c.AccessKeyId, "AWS_SECRET_ACCESS_KEY="+*c.SecretAccessKey,
		"AWS_SESSION_TOKEN="+*c.SessionToken)
	return &limited
}
