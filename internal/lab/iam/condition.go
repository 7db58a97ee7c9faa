// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package iam

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/wildcard"
)

// condition is one key of a Condition element, with its operator:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html.
type condition struct {
	key      string
	want     []string
	all      bool // ForAllValues: all values of the key must match; no value is a match, too
	absent   bool // ...IfExists: the condition is met when the request has no such key
	negative bool // no value may match
	null     bool // Null: whether the request has the key
	match    func(want, got string) bool
}

// operators without a prefix or suffix.
var operators = map[string]condition{
	"StringEquals":              {match: equal},
	"StringEqualsIgnoreCase":    {match: strings.EqualFold},
	"StringLike":                {match: wildcard.Match},
	"ArnEquals":                 {match: wildcard.Match}, // the same as ArnLike in IAM
	"ArnLike":                   {match: wildcard.Match},
	"Bool":                      {match: strings.EqualFold},
	"StringNotEquals":           {match: equal, negative: true},
	"StringNotEqualsIgnoreCase": {match: strings.EqualFold, negative: true},
	"StringNotLike":             {match: wildcard.Match, negative: true},
	"ArnNotEquals":              {match: wildcard.Match, negative: true},
	"ArnNotLike":                {match: wildcard.Match, negative: true},
	"Null":                      {null: true},
}

func equal(want, got string) bool { return want == got }

func parseConditions(element map[string]map[string]oneOrMore[value]) ([]condition, error) {
	var all []condition
	for _, operator := range slices.Sorted(maps.Keys(element)) {
		name, forAll := strings.CutPrefix(operator, "ForAllValues:")
		name = strings.TrimPrefix(name, "ForAnyValue:") // this is the default
		name, ifExists := strings.CutSuffix(name, "IfExists")
		c, ok := operators[name]
		if !ok {
			return nil, fmt.Errorf("the lab does not know the condition operator %q", operator)
		}
		for _, key := range slices.Sorted(maps.Keys(element[operator])) {
			c.key, c.want, c.all, c.absent = key, nil, forAll, ifExists
			for _, v := range element[operator][key] {
				if strings.Contains(string(v), "${") {
					return nil, fmt.Errorf("the lab does not know the variables of %q", v)
				}
				c.want = append(c.want, string(v))
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// isMet reports whether a request meets the condition.
func (c condition) isMet(r Request) bool {
	if r.Absent && strings.Contains(strings.ToLower(c.key), ":resourcetag/") {
		return true
	}
	got := r.values(c.key)
	matches := func(got string) bool {
		return slices.ContainsFunc(c.want, func(want string) bool { return c.match(want, got) })
	}
	switch {
	case c.null:
		return slices.Contains(c.want, strconv.FormatBool(len(got) == 0))
	case len(got) == 0:
		return c.absent || c.all || c.negative
	case c.negative:
		return !slices.ContainsFunc(got, matches)
	case c.all:
		return !slices.ContainsFunc(got, func(one string) bool { return !matches(one) })
	}
	return slices.ContainsFunc(got, matches)
}

// values returns the values of a key. The key of a tag ends in a slash and the tag's name.
func (r Request) values(key string) []string {
	for name, values := range r.Keys {
		if strings.EqualFold(name, key) {
			return values
		}
	}
	return nil
}

// value is a string. It is read from JSON strings, booleans and numbers.
type value string

// UnmarshalJSON implements json.Unmarshaler.
func (v *value) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		var other any
		if err := json.Unmarshal(b, &other); err != nil {
			return err
		}
		s = fmt.Sprint(other)
	}
	*v = value(s)
	return nil
}
