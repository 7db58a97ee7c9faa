// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package terminal

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestPlain(t *testing.T) {
	for given, want := range map[string]string{
		"":                             "",
		"as it is: ünïcödé\n\tand tab": "as it is: ünïcödé\n\tand tab",
		"\x1b[31mred\x1b[0m\r\n":       "red\n",
		"\x1b]0;a title\x07":           `\x1b]0;a title\x07`,
		"\x1b]52;c;cm0gLXJmIC8=\x07":   `\x1b]52;c;cm0gLXJmIC8=\x07`, // writes to the clipboard
		"\x1b[2J\x1b[1;1Hgone":         `\x1b[2J\x1b[1;1Hgone`,
		"success\rfailure":             `success\x0dfailure`,
		"\u009b2Jone byte":             `\u009b2Jone byte`, // the C1 form of ESC [
		"raw \x9b2J, \xff, \xc3":       `raw \x9b2J, \xff, \xc3`,
		"user\u202egnp.exe":            `user\u202egnp.exe`,
		"two\u2028lines":               `two\u2028lines`,
		"\x00\x08\x7f":                 `\x00\x08\x7f`,
	} {
		if diff := cmp.Diff(want, Plain(given)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", given, diff)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("\x1b[31mred\x1b]0;x\x07\xff\u202e")
	f.Fuzz(func(t *testing.T, text string) {
		got := Plain(text)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, hidden) {
			t.Errorf("%q becomes %q", text, got)
		}
		if again := Plain(got); again != got {
			t.Errorf("%q becomes %q, and that %q", text, got, again)
		}
	})
}
