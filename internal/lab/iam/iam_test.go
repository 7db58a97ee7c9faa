// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package iam_test

import (
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
)

func TestPolicies(t *testing.T) {
	const allowDescribe = `{"Statement": {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}}`
	for _, c := range []struct {
		name, policy, action string
		want                 bool
	}{
		{"a wildcard", allowDescribe, "ec2:DescribeImages", true},
		{"whatever the case", allowDescribe, "EC2:describeimages", true},
		{"another action", allowDescribe, "ec2:RunInstances", false},
		{"another service", allowDescribe, "rds:DescribeImages", false},
		{"everything", `{"Statement": [{"Effect": "Allow", "Action": ["*"]}]}`, "s3:GetObject", true},
		{"a denial wins", `{"Statement": [{"Effect": "Deny", "Action": "s3:Put*"}, {"Effect": "Allow", "Action": "s3:*"}]}`, "s3:PutObject", false},
		{"all but", `{"Statement": {"Effect": "Allow", "NotAction": "iam:*"}}`, "s3:PutObject", true},
		{"all but this", `{"Statement": {"Effect": "Allow", "NotAction": "iam:*"}}`, "iam:PassRole", false},
		{"one character", `{"Statement": {"Effect": "Allow", "Action": "s3:?etObject"}}`, "s3:GetObject", true},
	} {
		p, err := iam.Parse([]byte(c.policy))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := p.Allows(c.action); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if none := (*iam.Policy)(nil); !none.Allows("ec2:RunInstances") {
		t.Error("no policy must allow everything")
	}
}

func TestDocumentsThatAreNoPolicies(t *testing.T) {
	for _, text := range []string{
		"", "{}", `{"Statement": []}`, `{"Statement": {"Effect": "allow", "Action": "*"}}`, `{"Statement": {"Effect": "Allow"}}`,
		`{"Statement": {"Effect": "Allow", "Action": "RunInstances"}}`, `{"Statement": {"Effect": "Allow", "Action": "*", "NotAction": "*"}}`,
		`{"Statement": {"Effect": "Allow", "Action": 1}}`,
	} {
		if _, err := iam.Parse([]byte(text)); err == nil {
			t.Errorf("%s: accepted", text)
		}
	}
}
