// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package problem describes what is wrong with an input, where, and how severe it is.
//
// Everything that reads an Image-Source adds problems to a [List] and continues, so that one run of `packer validate`
// shows every mistake. The package may not know what is being checked: no YAML, no shell, no Packer, no AWS.
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

// An Error stops a compile. A Warning is only shown, unless the user sets `strict`.
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

// String returns the form that editors and CI systems recognise: "cloudinit/60_app.cfg:3:18: message". Unknown parts
// are left out. A warning has "warning: " after its position.
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

// Errors returns the errors alone, in their order.
func (l List) Errors() List { return l.withSeverity(Error) }

// Warnings returns the warnings alone, in their order.
func (l List) Warnings() List { return l.withSeverity(Warning) }

func (l List) withSeverity(s Severity) List {
	var found List
	for _, p := range l {
		if p.Severity == s {
			found = append(found, p)
		}
	}
	return found
}

// Promoted returns a copy in which every warning is an error, for `strict = true`.
func (l List) Promoted() List {
	promoted := slices.Clone(l)
	for i := range promoted {
		promoted[i].Severity = Error
	}
	return promoted
}

// Demote makes warnings of the errors at the positions that match.
func (l List) Demote(matches func(line, column int) bool) {
	for i := range l {
		if matches(l[i].Line, l[i].Column) {
			l[i].Severity = Warning
		}
	}
}

// Err returns nil when the list has no errors, else an error with the text of every error, one per line. It leaves out
// warnings.
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

// Sort sorts by file, line and column. Problems in the same place stay in the order they were found.
func (l List) Sort() {
	slices.SortStableFunc(l, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
