// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// authorizations is what AWS says of each action, by the type of the resource: see testdata/authorization.txt.
type authorizations map[string]map[string]authorization

type authorization struct {
	required bool
	keys     []string
}

// anyType is for what applies to an action whatever the resource.
const anyType = "-"

func readAuthorizations(t *testing.T) authorizations {
	t.Helper()
	all := authorizations{}
	for line := range strings.Lines(read(t, "internal/repotest/testdata/authorization.txt")) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Fields(line)
		if len(columns) < 2 {
			t.Fatalf("a row of the table has no type: %q", line)
		}
		if all[columns[0]] == nil {
			all[columns[0]] = map[string]authorization{}
		}
		kind, required := strings.CutSuffix(columns[1], "*")
		all[columns[0]][kind] = authorization{required, columns[2:]}
	}
	return all
}

// globalKeys are condition keys of every request.
var globalKeys = []string{
	"aws:PrincipalArn", "aws:PrincipalTag/", "aws:RequestedRegion", "aws:ResourceAccount", "aws:SecureTransport",
	"aws:SourceIp",
}

// arnsOfTypes are the forms of the ARNs of the types, with the placeholders that docs/iam uses.
var arnsOfTypes = func() map[string]*regexp.Regexp {
	const account, name = `(\*|MY-ACCOUNT|[0-9]{12})`, `[^:/]+`
	all := map[string]string{
		"bucket": `s3:::` + name, "object": `s3:::` + name + `/.+`, "key": `kms:[^:]+:` + account + `:key/` + name,
		"role": `iam::` + account + `:role/.+`, "instance-profile": `iam::` + account + `:instance-profile/.+`,
		"parameter":             `ssm:[^:]+:` + account + `?:parameter/.+`, // those of AWS have no account
		"group":                 `resource-groups:[^:]+:` + account + `:group/.+`,
		"license-configuration": `license-manager:[^:]+:` + account + `:license-configuration:.+`,
		"image":                 `ec2:[^:]+::image/.+`, "snapshot": `ec2:[^:]+::snapshot/.+`,
	}
	for _, kind := range []string{
		"capacity-reservation", "instance", "key-pair", "network-interface", "security-group",
		"spot-instances-request", "subnet", "volume", "vpc",
	} {
		all[kind] = `ec2:[^:]+:` + account + `:` + kind + `/.+`
	}
	compiled := map[string]*regexp.Regexp{}
	for kind, pattern := range all {
		compiled[kind] = regexp.MustCompile(`^arn:aws:` + pattern + `$`)
	}
	return compiled
}()

// policyStatement is a statement of a policy.
type policyStatement struct {
	Sid, Effect                              string
	Action, NotAction, Resource, NotResource oneOrMany
	Condition                                map[string]map[string]oneOrMany
}

// oneOrMany is a JSON list of strings, or a single one.
type oneOrMany []string

func (o *oneOrMany) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*o = oneOrMany{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(o))
}

func policyOf(t *testing.T, text string) []policyStatement {
	t.Helper()
	var policy struct{ Statement []policyStatement }
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		t.Fatal(err)
	}
	return policy.Statement
}

// problems returns what AWS would never match, or always, in a statement.
func (a authorizations) problems(s *policyStatement) []string {
	var all []string
	if s.Effect != "Allow" || len(s.NotAction) > 0 || len(s.NotResource) > 0 {
		all = append(all, "only Allow, with Action and Resource, can be checked")
	}
	for _, action := range s.Action {
		types, ok := a[action]
		if !ok {
			all = append(all, action+" is not in the table of actions")
			continue
		}
		named, wrong := typesOf(types, s.Resource)
		for _, resource := range wrong {
			all = append(all, fmt.Sprintf("%s does not support the resource %s", action, resource))
		}
		for _, kind := range named {
			known := slices.Concat(globalKeys, types[kind].keys, types[anyType].keys)
			for _, key := range s.keys() {
				if !slices.ContainsFunc(known, isKey(key)) {
					all = append(all, fmt.Sprintf("%s has no condition key %s for the type %s", action, key, kind))
				}
			}
		}
	}
	return append(all, s.vacuous()...)
}

// typesOf returns the types, of those that an action supports, that resources name, and the resources that name none.
func typesOf(types map[string]authorization, resources []string) (named, wrong []string) {
	for _, resource := range resources {
		count := len(named)
		for _, kind := range slices.Sorted(maps.Keys(types)) {
			hasNone := len(types) == 1 && kind == anyType
			if resource == "*" && (kind != anyType || hasNone) ||
				kind != anyType && arnsOfTypes[kind] != nil && arnsOfTypes[kind].MatchString(resource) {
				named = append(named, kind)
			}
		}
		if len(named) == count {
			wrong = append(wrong, resource)
		}
	}
	return named, wrong
}

// isKey returns a function that reports whether a key of the table is a key of a condition.
func isKey(key string) func(string) bool {
	return func(known string) bool {
		return strings.EqualFold(known, key) ||
			strings.HasSuffix(known, "/") && len(key) > len(known) && strings.EqualFold(known, key[:len(known)])
	}
}

func (s *policyStatement) keys() []string {
	var all []string
	for _, keys := range s.Condition {
		all = slices.AppendSeq(all, maps.Keys(keys))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// vacuous returns the conditions that a request meets by not having the key at all.
func (s *policyStatement) vacuous() []string {
	var all []string
	for operator, keys := range s.Condition {
		for key, values := range keys {
			without := strings.HasPrefix(operator, "ForAllValues:") || strings.HasSuffix(operator, "IfExists") ||
				strings.Contains(operator, "Not") || operator == "Null" && slices.Contains(values, "true")
			if without && !slices.Equal(s.Condition["Null"][key], oneOrMany{"false"}) {
				all = append(all, fmt.Sprintf("a request without %s meets %s: add the condition that it is not null",
					key, operator))
			}
		}
	}
	slices.Sort(all)
	return all
}

// TestPoliciesSayWhatAWSCanMatch checks all of docs/iam: whether each action supports the resources and the condition
// keys of its statements, whether a condition can be met by leaving something out, and whether something is allowed on
// every type of resource that an action needs.
func TestPoliciesSayWhatAWSCanMatch(t *testing.T) {
	a := readAuthorizations(t)
	files, err := filepath.Glob(filepath.Join(packertest.Root(), "docs/iam/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("docs/iam has %d policies: %v", len(files), err)
	}
	covered := map[string][]string{}
	for _, file := range files {
		name := filepath.Join("docs/iam", filepath.Base(file))
		for _, s := range policyOf(t, read(t, name)) {
			for _, problem := range a.problems(&s) {
				t.Errorf("%s, %s: %s", name, s.Sid, problem)
			}
			for _, action := range s.Action {
				named, _ := typesOf(a[action], s.Resource)
				covered[action] = append(covered[action], named...)
			}
		}
	}
	for action, types := range a {
		if covered[action] == nil {
			t.Errorf("no policy allows %s: remove its rows from the table", action)
		}
		for kind, row := range types {
			if row.required && !slices.Contains(covered[action], kind) {
				t.Errorf("no policy allows %s on the resource type %s, which every request needs", action, kind)
			}
		}
	}
}

// TestWhatAWSCannotMatchIsFound checks the check with statements that are wrong, one way each.
func TestWhatAWSCannotMatchIsFound(t *testing.T) {
	a := readAuthorizations(t)
	const tagged = `"Null": {"aws:ResourceTag/bakery:bake-id": "false"`
	for _, c := range []struct{ statement, want string }{
		{`"Action": "iam:ListRoles", "Resource": "arn:aws:iam::MY-ACCOUNT:role/bakery/*"`, "does not support"},
		{`"Action": ["iam:DeleteRole", "iam:DeleteInstanceProfile"], "Resource": "arn:aws:iam::MY-ACCOUNT:role/a"`,
			"iam:DeleteInstanceProfile does not support"},
		{`"Action": "ec2:DescribeTags", "Resource": "arn:aws:ec2:*:*:instance/*"`, "does not support"},
		{`"Action": "ec2:DeregisterImage", "Resource": "arn:aws:ec2:*:*:image/*"`, "does not support"}, // has no account
		{`"Action": "ec2:TerminateInstances", "Resource": ["arn:aws:ec2:*:*:instance/*", "arn:aws:ec2:*:*:volume/*"]`,
			"does not support the resource arn:aws:ec2:*:*:volume/*"},
		{`"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::MY-BUCKET/*"`, "does not support"},
		{`"Action": "s3:PutObject", "Resource": "arn:aws:s3:::MY-BUCKET"`, "does not support"},
		{`"Action": "ec2:CopyImage", "Resource": "*", "Condition": {` + tagged + `}}`, "no condition key"},
		{`"Action": "ec2:CreateImage", "Resource": "*", "Condition": {` + tagged + `}}`, "for the type image"},
		{`"Action": "ec2:RunInstances", "Resource": "arn:aws:ec2:*:*:subnet/*",
			"Condition": {"Null": {"aws:RequestTag/a": "false"}}`, "no condition key"},
		{`"Action": "iam:PutRolePolicy", "Resource": "arn:aws:iam::MY-ACCOUNT:role/a", "Condition": {` + tagged + `}}`,
			"no condition key"},
		{`"Action": "ec2:TerminateInstances", "Resource": "*",
			"Condition": {"StringEquals": {"kms:ViaService": "a"}}`, "no condition key"},
		{`"Action": "ec2:DeleteTags", "Resource": "*", "Condition": {` + tagged + `},
			"ForAllValues:StringEquals": {"aws:TagKeys": "bakery:expires"}}`, "a request without aws:TagKeys"},
		{`"Action": "ec2:CreateTags", "Resource": "*",
			"Condition": {"StringEqualsIfExists": {"ec2:CreateAction": "RunInstances"}}`, "a request without"},
		{`"Action": "ec2:TerminateInstances", "Resource": "*",
			"Condition": {"StringNotEquals": {"aws:ResourceTag/a": "b"}}`, "a request without"},
		{`"Action": "ec2:TerminateInstances", "Resource": "*",
			"Condition": {"Null": {"aws:ResourceTag/a": "true"}}`, "a request without"},
		{`"Action": "ec2:Terminate*", "Resource": "*"`, "not in the table"},
		{`"Action": "ec2:TerminateInstances", "NotResource": "arn:aws:ec2:*:*:volume/*"`, "only Allow"},
	} {
		s := policyOf(t, `{"Statement": [{"Effect": "Allow", `+c.statement+`}]}`)
		if got := a.problems(&s[0]); !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("%s: %q, want %q", c.statement, got, c.want)
		}
	}
}
