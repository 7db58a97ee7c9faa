// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package problem says what is wrong with the input, where, and how bad it is.
//
// Everything that reads an Image-Source collects into a [List] and goes on, so that one run of `packer validate` shows
// every mistake. The package knows nothing of what is being checked: no YAML, no shell, no Packer, no AWS.
package problem

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity is how bad a problem is.
type Severity int

// An Error stops a compile. A Warning is shown and passed by, unless the user asked for strictness.
const (
	Error Severity = iota
	Warning
)

// Problem is one mistake in one place.
type Problem struct {
	File     string // as shown to the user, relative to the Image-Source; empty when the problem is in no file
	Line     int    // 1-based, 0 when not known
	Column   int    // 1-based, counted in characters, 0 when not known
	Severity Severity
	Message  string
}

// String gives the form editors and CI systems recognise: "cloudinit/60_app.cfg:3:18: message". What is not known is
// left out; a warning says so after its position.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
			if p.Column > 0 {
				fmt.Fprintf(&b, ":%d", p.Column)
			}
		}
		b.WriteString(": ")
	}
	if p.Severity == Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// List collects problems. The zero value is ready to use.
type List []Problem

// Errorf adds an error. Line and column are 1-based; 0 means not known.
func (l *List) Errorf(file string, line, column int, format string, args ...any) {
	*l = append(*l, Problem{file, line, column, Error, fmt.Sprintf(format, args...)})
}

// Warnf adds a warning. Line and column are 1-based; 0 means not known.
func (l *List) Warnf(file string, line, column int, format string, args ...any) {
	*l = append(*l, Problem{file, line, column, Warning, fmt.Sprintf(format, args...)})
}

// Errors gives the errors alone, in their order.
func (l List) Errors() List { return l.only(Error) }

// Warnings gives the warnings alone, in their order.
func (l List) Warnings() List { return l.only(Warning) }

func (l List) only(s Severity) List {
	var kept List
	for _, p := range l {
		if p.Severity == s {
			kept = append(kept, p)
		}
	}
	return kept
}

// Promoted gives a copy in which every warning is an error, for `strict = true`.
func (l List) Promoted() List {
	promoted := slices.Clone(l)
	for i := range promoted {
		promoted[i].Severity = Error
	}
	return promoted
}

// Err is nil when nothing is an error, else an error whose text is every error, one per line. Warnings are not in it.
func (l List) Err() error {
	var lines []string
	for _, p := range l.Errors() {
		lines = append(lines, p.String())
	}
	if lines == nil {
		return nil
	}
	return errors.New(strings.Join(lines, "\n"))
}

// Sort orders by file, line and column. Problems in the same place stay in the order they were found.
func (l List) Sort() {
	slices.SortStableFunc(l, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
