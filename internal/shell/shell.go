// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package shell quotes text for a shell, and checks the syntax of scripts.
//
// It writes POSIX sh (IEEE Std 1003.1, 2.2.2 Single-Quotes): every byte between single quotes stands for itself, so
// only the single quote must be escaped. The package runs nothing, and may not know what the text is for.
package shell

import (
	"regexp"
	"strings"
)

// Quote returns a word that every POSIX shell reads as exactly s, including blanks, quotes, newlines and bytes that are
// not UTF-8. The empty string becomes a pair of quotes.
//
// No shell word, argument or variable can contain a NUL byte. Quote does not remove it; callers check text from outside
// with [CanQuote] first, and report the position.
func Quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// CanQuote reports whether a shell word can contain s: false when s has a NUL byte.
func CanQuote(s string) bool { return !strings.Contains(s, "\x00") }

// Assign returns an assignment of value, quoted, to the variable name: NAME='value'. The name is not checked.
func Assign(name, value string) string { return name + "=" + Quote(value) }

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// IsVariableName reports whether name is the name of a shell variable.
func IsVariableName(name string) bool { return variableName.MatchString(name) }
