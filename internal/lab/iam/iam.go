// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package iam decides by an IAM policy document whether an action is allowed. It looks at Effect
// and Action (and NotAction) only: resources and conditions are taken as met, so a policy that
// passes here has every action it needs, and may still be too narrow in its resources.
package iam

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Policy is a policy document; nil allows everything.
type Policy struct{ statements []statement }

type statement struct {
	allow           bool
	action, without []string // Action, NotAction; lower case
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
	Effect    string
	Action    oneOrMore[string]
	NotAction oneOrMore[string]
}

func (r raw) read() (statement, error) {
	switch {
	case r.Effect != "Allow" && r.Effect != "Deny":
		return statement{}, fmt.Errorf("effect must be Allow or Deny, not %q", r.Effect)
	case (len(r.Action) == 0) == (len(r.NotAction) == 0):
		return statement{}, errors.New("give either Action or NotAction")
	}
	for _, a := range append(r.Action, r.NotAction...) {
		if a != "*" && !strings.Contains(a, ":") {
			return statement{}, fmt.Errorf("action %q has no service; write it as in ec2:RunInstances", a)
		}
	}
	return statement{r.Effect == "Allow", lower(r.Action), lower(r.NotAction)}, nil
}

// Allows says whether the policy allows an action such as ec2:RunInstances: some statement must
// allow it and none deny it. Actions compare without regard to case, as in IAM.
func (p *Policy) Allows(action string) bool {
	if p == nil {
		return true
	}
	action = strings.ToLower(action)
	allowed := false
	for _, s := range p.statements {
		if !s.matches(action) {
			continue
		}
		if !s.allow {
			return false
		}
		allowed = true
	}
	return allowed
}

// Denies says whether some statement denies an action, whatever others allow.
func (p *Policy) Denies(action string) bool {
	if p == nil {
		return false
	}
	action = strings.ToLower(action)
	for _, s := range p.statements {
		if !s.allow && s.matches(action) {
			return true
		}
	}
	return false
}

func (s statement) matches(action string) bool {
	if len(s.action) > 0 {
		return anyMatch(s.action, action)
	}
	return !anyMatch(s.without, action)
}

func anyMatch(patterns []string, action string) bool {
	for _, p := range patterns {
		if wildcard(p, action) {
			return true
		}
	}
	return false
}

// wildcard matches * and ? as IAM does.
func wildcard(pattern, s string) bool {
	for pattern != "" {
		if pattern[0] == '*' {
			for i := 0; i <= len(s); i++ {
				if wildcard(pattern[1:], s[i:]) {
					return true
				}
			}
			return false
		}
		if s == "" || pattern[0] != '?' && pattern[0] != s[0] {
			return false
		}
		pattern, s = pattern[1:], s[1:]
	}
	return s == ""
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
