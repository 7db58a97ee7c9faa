// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package model

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is what is wrong with a parameter.
type Kind int

// The kinds of problems.
const (
	Unknown Kind = iota // there is no such parameter
	Missing             // it is required
	Invalid             // it is not one of the values
	Small               // less than the smallest number
	Large               // more than the largest number
	Short               // too short, or too few items
	Long                // too long, or too many items
	Pattern             // not as the pattern says
	Type                // no number, no boolean
)

// Problem is what is wrong with a request.
type Problem struct {
	Kind  Kind
	Path  []string // the names on the way to the parameter; numbers stand for items of lists
	Value string
	Shape *Shape // that the parameter should have; nil for Unknown
}

// Name returns the path with dots, as in a form.
func (p Problem) Name() string { return strings.Join(p.Path, ".") }

// Check returns what is wrong with a request: unknown parameters, then missing ones, then wrong values, each in the
// order of their names. It returns nothing for actions that are not in the table.
func (s *Service) Check(action string, request *Node) []Problem {
	in := s.Input(action)
	if in == nil {
		return nil
	}
	c := checker{service: s}
	c.structure(nil, in, request)
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return rank(a.Kind) - rank(b.Kind) })
	return c.problems
}

func rank(k Kind) int { return min(int(k), int(Invalid)) }

type checker struct {
	service  *Service
	problems []Problem
}

func (c *checker) add(k Kind, path []string, value string, shape *Shape) {
	c.problems = append(c.problems, Problem{k, slices.Clone(path), value, shape})
}

func (c *checker) value(path []string, shape *Shape, n *Node) {
	switch shape.Type {
	case "structure":
		c.structure(path, shape, n)
	case "list":
		c.list(path, shape, n)
	case "integer", "long", "double", "float":
		c.number(path, shape, n)
	case "boolean":
		if _, err := strconv.ParseBool(strings.ToLower(n.Value)); err != nil {
			c.add(Type, path, n.Value, shape)
		}
	case "string":
		c.text(path, shape, n)
	case "map":
		for _, key := range slices.Sorted(maps.Keys(n.Children)) {
			c.value(append(path, key), c.service.shape(shape.Member), n.Children[key])
		}
	}
}

func (c *checker) structure(path []string, shape *Shape, n *Node) {
	for _, name := range slices.Sorted(maps.Keys(n.Children)) {
		at := append(slices.Clone(path), name)
		if member, ok := shape.Members[name]; ok {
			c.value(at, c.service.shape(member), n.Children[name])
		} else {
			c.add(Unknown, at, n.Children[name].Value, nil)
		}
	}
	for _, name := range shape.Required {
		if n.Children[name] == nil {
			c.add(Missing, append(slices.Clone(path), name), "", c.service.shape(shape.Members[name]))
		}
	}
}

func (c *checker) list(path []string, shape *Shape, n *Node) {
	for _, name := range slices.Sorted(maps.Keys(n.Children)) {
		at := append(slices.Clone(path), name)
		if _, err := strconv.Atoi(name); err != nil {
			c.add(Unknown, at, n.Children[name].Value, nil)
			continue
		}
		c.value(at, c.service.shape(shape.Member), n.Children[name])
	}
	c.length(path, shape, n.Value, len(n.Children))
}

func (c *checker) number(path []string, shape *Shape, n *Node) {
	v, err := strconv.ParseFloat(n.Value, 64)
	switch {
	case err != nil:
		c.add(Type, path, n.Value, shape)
	case shape.Min != nil && v < *shape.Min:
		c.add(Small, path, n.Value, shape)
	case shape.Max != nil && v > *shape.Max:
		c.add(Large, path, n.Value, shape)
	}
}

func (c *checker) text(path []string, shape *Shape, n *Node) {
	if len(shape.Enum) > 0 && !slices.Contains(shape.Enum, n.Value) {
		c.add(Invalid, path, n.Value, shape)
		return
	}
	c.length(path, shape, n.Value, utf8.RuneCountInString(n.Value))
	if !shape.matches(n.Value) {
		c.add(Pattern, path, n.Value, shape)
	}
}

func (c *checker) length(path []string, shape *Shape, value string, n int) {
	switch {
	case shape.Min != nil && float64(n) < *shape.Min:
		c.add(Short, path, value, shape)
	case shape.Max != nil && float64(n) > *shape.Max:
		c.add(Long, path, value, shape)
	}
}

// matches reports whether a value is as the pattern says. A pattern that Go cannot read allows everything: the tests
// list those.
func (s *Shape) matches(value string) bool {
	if s.Pattern == "" {
		return true
	}
	p, err := CompilePattern(s.Pattern)
	return err != nil || p.MatchString(value)
}

// CompilePattern compiles a pattern of a model, which must match the whole value. The models write code points as Java
// does.
func CompilePattern(pattern string) (*regexp.Regexp, error) {
	return regexp.Compile(`\A(?:` + javaEscape.ReplaceAllString(pattern, `\x{$1}`) + `)\z`)
}

var javaEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)
