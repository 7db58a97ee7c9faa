// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package iam decides by IAM policy documents whether a request is allowed: by Effect, Action, Resource and Condition, with
// the operators that policies for EC2, S3 and IAM use. A document with anything else is refused, so that nothing is taken
// as met that is not. It knows neither the services nor their resources; who asks says what the request is about.
package iam

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/wildcard"
)

// Request is one thing that somebody wants to do to one resource. A call that touches several resources is several
// requests, and all of them must be allowed.
type Request struct {
	Action   string              // ec2:RunInstances
	Resource string              // its ARN, or * of an action that has none
	Keys     map[string][]string // what conditions are about: aws:ResourceTag/team: web; names compare without regard to case
	Absent   bool                // the resource is not there: conditions about its tags are met, and the service says so itself
}

// Policy is a policy document; nil allows everything.
type Policy struct{ statements []statement }

type statement struct {
	allow           bool
	action, without []string // Action, NotAction; lower case
	resource, other []string // Resource, NotResource
	conditions      []condition
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

// Parse reads a policy document: Statement may be one or a list, Action a string or a list.
func Parse(document []byte) (*Policy, error) {
	var d struct{ Statement oneOrMore[raw] }
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, err
	}
	if len(d.Statement) == 0 {
		return nil, errors.New("it has no Statement")
	}
	p := &Policy{}
	for i, r := range d.Statement {
		s, err := r.read()
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		p.statements = append(p.statements, s)
	}
	return p, nil
}

type raw struct {
	Effect                string
	Action, NotAction     oneOrMore[string]
	Resource, NotResource oneOrMore[string]
	Condition             map[string]map[string]oneOrMore[value]
}

func (r raw) read() (statement, error) {
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
	conditions, err := readConditions(r.Condition)
	return statement{r.Effect == "Allow", lower(r.Action), lower(r.NotAction), r.Resource, r.NotResource, conditions}, err
}

// Allows says whether the policy allows a request: some statement must allow it and none deny it.
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

// Denies says whether some statement denies a request, whatever others allow.
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

// matches tells whether a statement is about a request. Actions compare without regard to case, ARNs with.
func (s statement) matches(r Request) bool {
	if !among(s.action, s.without, strings.ToLower(r.Action)) || !among(s.resource, s.other, r.Resource) {
		return false
	}
	for _, c := range s.conditions {
		if !c.met(r) {
			return false
		}
	}
	return true
}

// among tells whether something is one of these, or, where there are none, none of those.
func among(these, those []string, s string) bool {
	if len(these) > 0 {
		return anyMatch(these, s)
	}
	return !anyMatch(those, s)
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

// oneOrMore reads a JSON list, or a single value as a list of one.
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
