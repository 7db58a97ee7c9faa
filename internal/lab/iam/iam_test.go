// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package iam_test

import (
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
)

func TestPolicies(t *testing.T) {
	const allowDescribe = `{"Statement": {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}}`
	const objects = `{"Statement": {"Effect": "Allow", "Action": "s3:GetObject",
		"Resource": "arn:aws:s3:::bucket/mine/*"}}`
	for _, c := range []struct {
		name, policy, action, resource string
		want                           bool
	}{
		{"a wildcard", allowDescribe, "ec2:DescribeImages", "*", true},
		{"whatever the case", allowDescribe, "EC2:describeimages", "*", true},
		{"another action", allowDescribe, "ec2:RunInstances", "*", false},
		{"another service", allowDescribe, "rds:DescribeImages", "*", false},
		{"everything", `{"Statement": [{"Effect": "Allow", "Action": ["*"], "Resource": ["*"]}]}`, "s3:GetObject",
			"arn:aws:s3:::bucket/key", true},
		{"a denial wins", `{"Statement": [{"Effect": "Deny", "Action": "s3:Put*", "Resource": "*"},
			{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}`, "s3:PutObject", "arn:aws:s3:::bucket/key", false},
		{"a denial of something else",
			`{"Statement": [{"Effect": "Deny", "Action": "s3:Put*", "NotResource": "arn:aws:s3:::bucket/*"},
				{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}`, "s3:PutObject", "arn:aws:s3:::bucket/key", true},
		{"all but", `{"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}}`, "s3:PutObject",
			"arn:aws:s3:::bucket/key", true},
		{"all but this", `{"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}}`, "iam:PassRole",
			"arn:aws:iam::1:role/a", false},
		{"one character", `{"Statement": {"Effect": "Allow", "Action": "s3:?etObject", "Resource": "*"}}`,
			"s3:GetObject", "arn:aws:s3:::bucket/key", true},
		{"a resource below", objects, "s3:GetObject", "arn:aws:s3:::bucket/mine/a/b", true},
		{"a resource beside", objects, "s3:GetObject", "arn:aws:s3:::bucket/other", false},
		{"a resource where there is none", objects, "s3:GetObject", "*", false},
	} {
		p, err := iam.Parse([]byte(c.policy))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := p.Allows(iam.Request{Action: c.action, Resource: c.resource}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if none := (*iam.Policy)(nil); !none.Allows(iam.Request{Action: "ec2:RunInstances", Resource: "*"}) {
		t.Error("no policy must allow everything")
	}
}

func TestConditions(t *testing.T) {
	keys := map[string][]string{"aws:ResourceTag/Team": {"ovens"}, "aws:TagKeys": {"a", "b"},
		"ec2:CreateAction": {"RunInstances"}}
	for condition, want := range map[string]bool{
		`"StringEquals": {"aws:ResourceTag/Team": "ovens"}`:                                        true,
		`"StringEquals": {"aws:resourcetag/team": ["else", "ovens"]}`:                              true,
		`"StringEquals": {"aws:ResourceTag/Team": "oven*"}`:                                        false,
		`"StringLike": {"aws:ResourceTag/Team": "oven*"}`:                                          true,
		`"StringEquals": {"aws:ResourceTag/Other": "ovens"}`:                                       false,
		`"StringEqualsIfExists": {"aws:ResourceTag/Other": "ovens"}`:                               true,
		`"StringNotEquals": {"aws:ResourceTag/Team": "ovens"}`:                                     false,
		`"StringNotEquals": {"aws:ResourceTag/Other": "ovens"}`:                                    true,
		`"Null": {"aws:ResourceTag/Team": "false"}`:                                                true,
		`"Null": {"aws:ResourceTag/Team": true}`:                                                   false,
		`"Null": {"aws:ResourceTag/Other": "false"}`:                                               false,
		`"Null": {"aws:ResourceTag/Other": "true"}`:                                                true,
		`"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b", "c"]}`:                            true,
		`"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}`:                                      false,
		`"ForAllValues:StringEquals": {"aws:Nothing": ["a"]}`:                                      true,
		`"ForAnyValue:StringEquals": {"aws:TagKeys": ["b", "c"]}`:                                  true,
		`"StringEquals": {"ec2:CreateAction": "RunInstances", "aws:ResourceTag/Team": "else"}`:     false,
		`"StringEquals": {"ec2:CreateAction": "RunInstances"}, "Null": {"aws:TagKeys": ["false"]}`: true,
	} {
		p, err := iam.Parse([]byte(`{"Statement": {"Effect": "Allow", "Action": "ec2:*", "Resource": "*",
			"Condition": {` + condition + `}}}`))
		if err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
		if got := p.Allows(iam.Request{Action: "ec2:CreateTags", Resource: "*", Keys: keys}); got != want {
			t.Errorf("%s: %v", condition, got)
		}
	}
}

func TestTagsOfAMissingResourceMeetEveryCondition(t *testing.T) {
	p, err := iam.Parse([]byte(`{"Statement": {"Effect": "Allow", "Action": "ec2:TerminateInstances", "Resource": "*",
		"Condition": {"Null": {"aws:ResourceTag/a": "false"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	r := iam.Request{Action: "ec2:TerminateInstances", Resource: "arn:aws:ec2:us-east-1:1:instance/i-1"}
	if p.Allows(r) {
		t.Error("a machine without the tag may be terminated")
	}
	if r.Absent = true; !p.Allows(r) {
		t.Error("nobody is told that the machine is not there")
	}
}

func TestInvalidPolicies(t *testing.T) {
	for _, text := range []string{
		"", "{}", `{"Statement": []}`, `{"Statement": {"Effect": "allow", "Action": "*"}}`,
		`{"Statement": {"Effect": "Allow"}}`,
		`{"Statement": {"Effect": "Allow", "Action": "RunInstances"}}`,
		`{"Statement": {"Effect": "Allow", "Action": "*", "NotAction": "*"}}`,
		`{"Statement": {"Effect": "Allow", "Action": 1}}`, `{"Statement": {"Effect": "Allow", "Action": "*"}}`,
		`{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "bucket/key"}}`,
		`{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*",
			"Condition": {"NumericLessThan": {"s3:max-keys": "10"}}}}`,
		`{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*",
			"Condition": {"StringEquals": {"aws:RequestTag/a": "${aws:username}"}}}}`,
	} {
		if _, err := iam.Parse([]byte(text)); err == nil {
			t.Errorf("%s: accepted", text)
		}
	}
}
