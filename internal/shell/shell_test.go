// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package shell

import (
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

var words = []string{
	"", "plain", "two words", "'", "''", `"`, `it's "so"`, "$HOME", "`id`", "$(id)", `\`, `\'`, "a\nb\n", "\n", "\t",
	"*",
	"~", "#", "!", "-n", "é", "日本", "\xff\xfe", "\x01\x1b[0m", "a;b&c|d", "%s", "\r\n",
}

func TestQuoteIsReadBackBySh(t *testing.T) {
	for _, word := range words {
		got, err := exec.Command("sh", "-c", "printf %s "+Quote(word)).Output()
		if err != nil {
			t.Errorf("sh cannot read %s: %v", Quote(word), err)
		} else if string(got) != word {
			t.Errorf("sh reads %q as %q", word, got)
		}
	}
}

func TestAssignIsReadBackBySh(t *testing.T) {
	for _, value := range words {
		got, err := exec.Command("sh", "-c", Assign("X", value)+"\nprintf %s \"$X\"").Output()
		if err != nil {
			t.Errorf("sh cannot read %s: %v", Assign("X", value), err)
		} else if string(got) != value {
			t.Errorf("sh assigns %q as %q", value, got)
		}
	}
}

func TestCanQuote(t *testing.T) {
	if !CanQuote("a\nb") || CanQuote("a\x00b") {
		t.Error("only NUL cannot reach a shell")
	}
}

func FuzzQuote(f *testing.F) {
	for _, word := range words {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		// The parser takes only UTF-8 and drops a CR before LF, even in quotes; sh does neither, as the tables show.
		if !CanQuote(word) || !utf8.ValidString(word) || strings.Contains(word, "\r") {
			return
		}
		file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader("x "+Quote(word)), "")
		if err != nil {
			t.Fatalf("parse %q: %v", Quote(word), err)
		}
		call, ok := file.Stmts[0].Cmd.(*syntax.CallExpr)
		if !ok || len(file.Stmts) != 1 || len(call.Args) != 2 {
			t.Fatalf("%q is not one word", Quote(word))
		}
		got, err := expand.Fields(nil, call.Args[1])
		if err != nil || len(got) != 1 || got[0] != word {
			t.Errorf("%q comes back as %q, %v", word, got, err)
		}
	})
}
