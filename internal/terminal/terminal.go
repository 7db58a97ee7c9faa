// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package terminal makes text from other sources safe to print on a terminal: the output of a machine, answers of AWS,
// names of files. Such text may contain sequences that control the terminal, or characters that make it look different.
// The package is pure; it may not know where a text comes from or goes to.
package terminal

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// color matches the sequence for colors and weights (SGR, ECMA-48 8.3.117), which is harmless and is removed.
var color = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// Plain returns a text without sequences that move the cursor, ring the bell, write to the clipboard or change the
// direction of text. It leaves line ends and tabs, removes colors, and escapes all other invisible characters, such as
// \x1b or \u202e.
func Plain(text string) string {
	if !strings.ContainsFunc(text, hidden) && utf8.ValidString(text) {
		return text
	}
	text = strings.ReplaceAll(color.ReplaceAllString(text, ""), "\r\n", "\n")
	var b strings.Builder
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1, r < utf8.RuneSelf && hidden(r):
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		text = text[size:]
	}
	return b.String()
}

// hidden reports whether a character is invisible and controls the terminal: control characters except the new line and
// the tab, and characters of format and direction (Unicode's Cc, Cf, Zl and Zp), which CVE-2021-42574 is about.
func hidden(r rune) bool {
	return r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
