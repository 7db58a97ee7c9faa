// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package iam

import (
	"regexp"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/wildcard"
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

// FuzzWildcard tests that a pattern matches the same text as the equivalent regular expression, in time that is
// proportional to both lengths.
func FuzzWildcard(f *testing.F) {
	f.Add("ec2:Describe*", "ec2:DescribeImages")
	f.Add("a?c", "abc")
	f.Add(strings.Repeat("*a", 30)+"b", strings.Repeat("a", 200))
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 200 || len(s) > 1000 ||
			strings.ContainsFunc(pattern+s, func(r rune) bool { return r > 0x7e }) {
			return
		}
		re := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
		if want := regexp.MustCompile(`(?s)\A` + re + `\z`).MatchString(s); wildcard.Match(pattern, s) != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, s, !want, want)
		}
	})
}
