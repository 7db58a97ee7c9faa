// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package iam evaluates IAM policy documents: Effect, Action, Resource and Condition, with the operators that policies
// for EC2, S3 and IAM use. It refuses documents with anything else, so that no condition is ignored. It may not know
// services or their resources; a Request has all that policies can use.
package iam

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/wildcard"
)

// Request is one action on one resource. A call that uses several resources is several requests, which must all be
// allowed.
type Request struct {
	Action   string              // ec2:RunInstances
	Resource string              // ARN, or * for actions without a resource
	Keys     map[string][]string // condition keys, such as aws:ResourceTag/team: web; their case is ignored
	// the resource does not exist: conditions about its tags are met, so that the service returns that error
	Absent bool
}

// Policy is a policy document; nil allows everything.
type Policy struct{ statements []statement }

type statement struct {
	allow                   bool
	actions, notActions     []string // Action, NotAction; lower case
	resources, notResources []string // Resource, NotResource
	conditions              []condition
}

// Load reads a policy document from a file.
func Load(path string) (*Policy, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	p, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("read the policy %s: %w", path, err)
	}
	return p, nil
}

// Parse parses a policy document. Statement may be an object or a list, Action a string or a list.
func Parse(document []byte) (*Policy, error) {
	var d struct{ Statement oneOrMore[statementJSON] }
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, err
	}
	if len(d.Statement) == 0 {
		return nil, errors.New("it has no Statement")
	}
	p := &Policy{}
	for i, r := range d.Statement {
		s, err := r.parse()
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		p.statements = append(p.statements, s)
	}
	return p, nil
}

type statementJSON struct {
	Effect                string
	Action, NotAction     oneOrMore[string]
	Resource, NotResource oneOrMore[string]
	Condition             map[string]map[string]oneOrMore[value]
}

func (r statementJSON) parse() (statement, error) {
	switch {
	case r.Effect != "Allow" && r.Effect != "Deny":
		return statement{}, fmt.Errorf("effect must be Allow or Deny, not %q", r.Effect)
	case (len(r.Action) == 0) == (len(r.NotAction) == 0):
		return statement{}, errors.New("give either Action or NotAction")
	case (len(r.Resource) == 0) == (len(r.NotResource) == 0):
		return statement{}, errors.New("give either Resource or NotResource")
	}
	for _, a := range append(r.Action, r.NotAction...) {
		if a != "*" && !strings.Contains(a, ":") {
			return statement{}, fmt.Errorf("action %q has no service; write it as in ec2:RunInstances", a)
		}
	}
	for _, a := range append(r.Resource, r.NotResource...) {
		if a != "*" && strings.Count(a, ":") < 5 {
			return statement{}, fmt.Errorf("resource %q is no ARN and not *", a)
		}
	}
	conditions, err := parseConditions(r.Condition)
	return statement{r.Effect == "Allow", lower(r.Action), lower(r.NotAction), r.Resource, r.NotResource, conditions},
		err
}

// Allows reports whether the policy allows a request: a statement allows it, and none denies it.
func (p *Policy) Allows(r Request) bool {
	if p == nil {
		return true
	}
	allowed := false
	for _, s := range p.statements {
		if !s.matches(r) {
			continue
		}
		if !s.allow {
			return false
		}
		allowed = true
	}
	return allowed
}

// Denies reports whether a statement denies a request, whatever others allow.
func (p *Policy) Denies(r Request) bool {
	if p == nil {
		return false
	}
	for _, s := range p.statements {
		if !s.allow && s.matches(r) {
			return true
		}
	}
	return false
}

// matches reports whether a statement applies to a request. The case of actions is ignored, that of ARNs is not.
func (s statement) matches(r Request) bool {
	if !listMatches(s.actions, s.notActions, strings.ToLower(r.Action)) ||
		!listMatches(s.resources, s.notResources, r.Resource) {
		return false
	}
	for _, c := range s.conditions {
		if !c.isMet(r) {
			return false
		}
	}
	return true
}

// listMatches reports whether s matches a pattern of list or, when list is empty, no pattern of notList.
func listMatches(list, notList []string, s string) bool {
	if len(list) > 0 {
		return anyMatch(list, s)
	}
	return !anyMatch(notList, s)
}

func anyMatch(patterns []string, s string) bool {
	for _, p := range patterns {
		if wildcard.Match(p, s) {
			return true
		}
	}
	return false
}

func lower(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = strings.ToLower(s)
	}
	return out
}

// oneOrMore is read from a JSON list, or from a single value as a list of one.
type oneOrMore[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *oneOrMore[T]) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]T)(l))
	}
	var one T
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*l = []T{one}
	return nil
}
