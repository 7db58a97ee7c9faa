// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package model

import (
	"fmt"
	"strconv"
	"strings"
)

// Validation returns the message of IAM, STS and Systems Manager for problems: 2 validation errors detected: ...
func Validation(problems []Problem) string {
	all := make([]string, len(problems))
	for i, p := range problems {
		all[i] = p.validation()
	}
	if len(all) == 1 {
		return "1 validation error detected: " + all[0]
	}
	return strconv.Itoa(len(all)) + " validation errors detected: " + strings.Join(all, "; ")
}

func (p Problem) validation() string {
	if p.Kind == Unknown {
		return fmt.Sprintf("Unknown parameter '%s'", p.Name())
	}
	if p.Kind == Missing {
		return fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", p.member())
	}
	value := p.Value
	if p.Shape.Type == "list" {
		value = "[" + value + "]"
	}
	return fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: Member must %s", value, p.member(), p.must())
}

func (p Problem) must() string {
	length := "have length"
	if p.Shape.Type == "integer" || p.Shape.Type == "long" {
		length = "have value"
	}
	switch p.Kind {
	case Invalid:
		return "satisfy enum value set: [" + strings.Join(p.Shape.Enum, ", ") + "]"
	case Short, Small:
		return fmt.Sprintf("%s greater than or equal to %v", length, *p.Shape.Min)
	case Long, Large:
		return fmt.Sprintf("%s less than or equal to %v", length, *p.Shape.Max)
	case Pattern:
		return "satisfy regular expression pattern: " + p.Shape.Pattern
	case Unknown, Missing, Type:
	}
	return "be a " + p.Shape.Type
}

// member returns the name as these services write it: tags.1.member.value.
func (p Problem) member() string {
	parts := make([]string, 0, len(p.Path))
	for _, part := range p.Path {
		if _, err := strconv.Atoi(part); err == nil {
			parts = append(parts, part, "member")
			continue
		}
		parts = append(parts, strings.ToLower(part[:1])+part[1:])
	}
	if len(parts) > 0 && parts[len(parts)-1] == "member" {
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts, ".")
}
