// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package shell is the one place that quotes text which reaches a shell, and that tells whether a script is one.
//
// What it writes is POSIX sh (IEEE Std 1003.1, 2.2.2 Single-Quotes): every byte between single quotes stands for itself,
// so there is nothing to escape but the single quote. The package runs nothing and does not know what the text is for.
package shell

import "strings"

// Quote gives a word that every POSIX shell reads as exactly s, whatever s holds: blanks, quotes, newlines, bytes that
// are not UTF-8. The empty string becomes a pair of quotes.
//
// A NUL byte is the one thing no shell word, argument or variable can hold. Quote passes it through as it is, so nothing
// is lost silently here; callers that take text from outside refuse it first, with the position, by asking [CanQuote].
func Quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// CanQuote tells whether a shell can hold s at all: false when s has a NUL byte.
func CanQuote(s string) bool { return !strings.Contains(s, "\x00") }

// Assign gives an assignment of value, quoted, to the variable name: NAME='value'. The name is not checked.
func Assign(name, value string) string { return name + "=" + Quote(value) }
