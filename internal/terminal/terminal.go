// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package terminal makes text that others wrote safe to show to a person: what a machine printed, what AWS answered, the
// names of files. A terminal obeys what stands in such text, and a person believes what seems to stand there. The package
// is pure; it may not know where a text comes from or goes to.
package terminal

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// color is the sequence for colors and weights (SGR, ECMA-48 8.3.117), which does no harm and means nothing here.
var color = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// Plain returns a text without what would move a cursor, ring a bell, write to a clipboard, or turn the order of letters
// around. Lines and tabs stay, colors go, and everything else that is not to be seen is written out, as \x1b or \u202e.
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

// hidden tells what no one sees and a terminal obeys: the control characters but the new line and the tab, and the
// characters of format and of direction (Unicode's Cc, Cf, Zl and Zp), by which CVE-2021-42574 is known.
func hidden(r rune) bool {
	return r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// PlainError is an error whose text is plain; the error itself where it is so already.
func PlainError(err error) error {
	if err == nil {
		return nil
	}
	if text := Plain(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}
