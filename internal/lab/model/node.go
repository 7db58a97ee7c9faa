// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package model

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Node is a request, or a branch of it: a value, or members by name. The members of a list have numbers as names.
type Node struct {
	Value    string
	Children map[string]*Node
}

// Add adds a value below a path.
func (n *Node) Add(path []string, value string) {
	for _, name := range path {
		if n.Children == nil {
			n.Children = map[string]*Node{}
		}
		if n.Children[name] == nil {
			n.Children[name] = &Node{}
		}
		n = n.Children[name]
	}
	n.Value = value
}

// FromForm returns a form of the AWS query protocol, in which the items of a list have the word member before their
// numbers: Tags.member.1.Key. Action and Version are left out.
func FromForm(form url.Values) *Node {
	root := &Node{}
	for name, values := range form {
		if name == "Action" || name == "Version" {
			continue
		}
		var path []string
		for part := range strings.SplitSeq(name, ".") {
			if part != "member" {
				path = append(path, part)
			}
		}
		root.Add(path, values[len(values)-1])
	}
	return root
}

// FromJSON returns a decoded JSON document.
func FromJSON(v any) *Node {
	switch v := v.(type) {
	case map[string]any:
		n := &Node{Children: map[string]*Node{}}
		for name, value := range v {
			if value != nil {
				n.Children[name] = FromJSON(value)
			}
		}
		return n
	case []any:
		n := &Node{Children: map[string]*Node{}}
		for i, value := range v {
			n.Children[strconv.Itoa(i+1)] = FromJSON(value)
		}
		return n
	case nil:
		return &Node{}
	case float64:
		return &Node{Value: strconv.FormatFloat(v, 'f', -1, 64)}
	}
	return &Node{Value: fmt.Sprint(v)}
}
