// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// Limits of a request. EC2's own are not published; real requests are far below these.
const (
	maxParameters = 10_000
	maxDepth      = 16
	maxIndex      = 100_000
)

// Query is a request's form as a tree: Filter.1.Value.2=x is Query{Filter: {1: {Value: {2: "x"}}}}.
type Query struct {
	value    string
	set      bool
	children map[string]*Query
	hidden   func(id string) bool // of the root: which resources lists leave out; nil: none
}

// hide makes lists leave out the resources whose ids hidden reports.
func (q *Query) hide(hidden func(id string) bool) { q.hidden = hidden }

// names returns all values but those of filters, tags and user data: among them are the ids of the resources that the
// request names.
func (q *Query) names() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(q.children)) {
		if !slices.Contains([]string{"Filter", "Tag", "TagSpecification", "UserData"}, name) {
			all = q.children[name].values(all)
		}
	}
	return all
}

func (q *Query) values(all []string) []string {
	if q.set {
		all = append(all, q.value)
	}
	for _, name := range slices.Sorted(maps.Keys(q.children)) {
		all = q.children[name].values(all)
	}
	return all
}

// ParseQuery parses a form. A name can have both a value and children, as in EC2.
func ParseQuery(body string) (*Query, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, apierror.Errorf("MalformedQueryString", "The query string contains a syntax error")
	}
	if len(form) > maxParameters {
		return nil, apierror.Errorf("RequestEntityTooLarge", "More than %d parameters", maxParameters)
	}
	root := &Query{}
	for name, values := range form {
		if err := root.insert(name, values[len(values)-1]); err != nil {
			return nil, err
		}
	}
	return root, nil
}

func (q *Query) insert(name, value string) error {
	parts := strings.Split(name, ".")
	if len(parts) > maxDepth {
		return apierror.Errorf("MalformedQueryString", "The parameter %.64q is nested too deep", name)
	}
	for _, part := range parts {
		if part == "" {
			return apierror.Errorf("MalformedQueryString", "The parameter name %.64q is not valid", name)
		}
		if n, err := strconv.Atoi(part); err == nil && n > maxIndex {
			return apierror.Errorf("MalformedQueryString", "The index in %.64q is too high", name)
		}
		if q.children == nil {
			q.children = map[string]*Query{}
		}
		if q.children[part] == nil {
			q.children[part] = &Query{}
		}
		q = q.children[part]
	}
	q.value, q.set = value, true
	return nil
}

// At returns the branch with a dotted name. Without one, it returns an empty branch, never nil.
func (q *Query) At(name string) *Query {
	for part := range strings.SplitSeq(name, ".") {
		next := q.children[part]
		if next == nil {
			return &Query{}
		}
		q = next
	}
	return q
}

// Has reports whether a branch has a value or children.
func (q *Query) Has(name string) bool {
	at := q.At(name)
	return at.set || len(at.children) > 0
}

// String returns the value with a name; "" when there is none.
func (q *Query) String(name string) string { return q.At(name).value }

// List returns the numbered branches under a name, in the order of their numbers, which may have gaps.
func (q *Query) List(name string) []*Query {
	at := q.At(name)
	numbers := make([]int, 0, len(at.children))
	for k := range at.children {
		if n, err := strconv.Atoi(k); err == nil && strconv.Itoa(n) == k {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	list := make([]*Query, len(numbers))
	for i, n := range numbers {
		list[i] = at.children[strconv.Itoa(n)]
	}
	return list
}

// Strings returns the values of a list.
func (q *Query) Strings(name string) []string {
	var all []string
	for _, item := range q.List(name) {
		all = append(all, item.value)
	}
	return all
}

// Require returns a value, or EC2's error when there is none.
func (q *Query) Require(name string) (string, error) {
	if v := q.String(name); v != "" {
		return v, nil
	}
	return "", missing(name)
}

func missing(name string) error {
	return apierror.Errorf("MissingParameter", "The request must contain the parameter %s", name)
}

// Bool reads true or false; nil when there is no such parameter.
func (q *Query) Bool(name string) (*bool, error) {
	at := q.At(name)
	if !at.set {
		return nil, nil //nolint:nilnil // nil stands for no parameter
	}
	b, err := strconv.ParseBool(strings.ToLower(at.value))
	if err != nil {
		return nil, apierror.Errorf("InvalidParameterValue", "Invalid value '%s' for %s. Expected 'true' or 'false'.",
			at.value, name)
	}
	return &b, nil
}

// True reads a boolean; false when there is no such parameter.
func (q *Query) True(name string) (bool, error) {
	b, err := q.Bool(name)
	return b != nil && *b, err
}

// Int reads a whole number; otherwise is its value when there is no such parameter.
func (q *Query) Int(name string, otherwise int64) (int64, error) {
	at := q.At(name)
	if !at.set {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(at.value, 10, 64)
	if err != nil {
		return 0, apierror.Errorf("InvalidParameterValue", "Invalid value '%s' for %s. Value must be an integer.",
			at.value, name)
	}
	return n, nil
}

// Base64 reads bytes. Line breaks are allowed, as in EC2.
func (q *Query) Base64(name string) ([]byte, error) {
	text := strings.NewReplacer("\n", "", "\r", "", " ", "").Replace(q.String(name))
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		b, err = base64.RawStdEncoding.DecodeString(text)
	}
	if err != nil {
		return nil, apierror.Errorf("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	}
	return b, nil
}

// Time reads an ISO 8601 time.
func (q *Query) Time(name string) (time.Time, error) {
	v, err := q.Require(name)
	if err != nil {
		return time.Time{}, err
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z", "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, v); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, apierror.Errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid.", v, name)
}

// TagsFor returns the tags that TagSpecification has for a kind of resource.
func (q *Query) TagsFor(resource string) (cloud.Tags, error) {
	var tags cloud.Tags
	for _, spec := range q.List("TagSpecification") {
		if spec.String("ResourceType") != resource {
			continue
		}
		more, err := spec.Tags("Tag")
		if err != nil {
			return nil, err
		}
		if tags == nil {
			tags = cloud.Tags{}
		}
		maps.Copy(tags, more)
	}
	return tags, cloud.CheckTags(tags)
}

// Tags reads a list of Key and Value.
func (q *Query) Tags(name string) (cloud.Tags, error) {
	tags := cloud.Tags{}
	for _, t := range q.List(name) {
		key := t.String("Key")
		if _, twice := tags[key]; twice {
			return nil, apierror.Errorf("InvalidParameterValue", "Duplicate tag key '%s' specified.", key)
		}
		tags[key] = t.String("Value")
	}
	return tags, nil
}

// flatten adds the names and values of the tree to a map, for tests.
func (q *Query) flatten(prefix string, into map[string]string) {
	if q.set {
		into[prefix] = q.value
	}
	for k, child := range q.children {
		child.flatten(strings.TrimPrefix(fmt.Sprintf("%s.%s", prefix, k), "."), into)
	}
}
