// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package iam

import (
	"testing"
)

// FuzzParse tests that a policy is either refused or evaluates every request, and that it does not allow what it
// denies.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"Statement": {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}}`,
		`{"Statement": [{"Effect": "Deny", "NotAction": ["s3:*"], "NotResource": "a?", "Condition": {"StringEquals": {"aws:RequestTag/a": ["b"]}}}]}`,
		`{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Null": {"aws:ResourceTag/x": "false"}}}]}`, "{}", "[]", "null",
	} {
		f.Add([]byte(seed), "ec2:RunInstances", "arn:aws:ec2:us-east-1:1:instance/i-1", "aws:RequestTag/a", "b")
	}
	f.Fuzz(func(t *testing.T, document []byte, action, resource, key, value string) {
		p, err := Parse(document)
		if err != nil {
			return
		}
		for _, absent := range []bool{false, true} {
			r := Request{Action: action, Resource: resource, Keys: map[string][]string{key: {value}}, Absent: absent}
			if p.Allows(r) && p.Denies(r) {
				t.Errorf("%s allows and denies %+v", document, r)
			}
		}
	})
}
