// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package shell

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// Fault is a syntax error of a script.
type Fault struct {
	Line, Column int // 1-based, in characters
	Message      string
	Incomplete   bool // the script ends within a construct: an if without fi, an open quote
	BashOnly     bool // bash accepts it, a POSIX sh such as dash does not
}

// Check parses a script as the interpreter does ([Interpreter] returns its name) and returns its first fault, or nil.
// It checks only scripts for sh, dash, ash and bash, and only those in UTF-8, which the parser needs: a script may have
// an archive after its last line.
func Check(script []byte, interpreter string) *Fault {
	if !utf8.Valid(script) {
		return nil
	}
	switch interpreter {
	case "sh", "dash", "ash":
		fault := parse(script, syntax.LangPOSIX)
		if fault != nil && parse(script, syntax.LangBash) == nil {
			fault.BashOnly = true
		}
		return fault
	case "bash":
		return parse(script, syntax.LangBash)
	default:
		return nil
	}
}

func parse(script []byte, lang syntax.LangVariant) *Fault {
	_, err := syntax.NewParser(syntax.Variant(lang)).Parse(bytes.NewReader(script), "")
	if err == nil {
		return nil
	}
	fault := &Fault{Line: 1, Column: 1, Incomplete: syntax.IsIncomplete(err)}
	var (
		parseErr syntax.ParseError
		langErr  syntax.LangError
		pos      syntax.Pos
	)
	switch {
	case errors.As(err, &parseErr):
		pos = parseErr.Pos
	case errors.As(err, &langErr):
		pos = langErr.Pos
	}
	fault.Message = strings.TrimPrefix(err.Error(), pos.String()+": ")
	fault.Message, _, _ = strings.Cut(fault.Message, "; tried parsing as")
	if pos.IsValid() {
		fault.Line = int(pos.Line())
		fault.Column = characters(script, fault.Line, int(pos.Col()))
	}
	return fault
}

// characters converts a column in bytes, as the parser counts, to one in characters, as editors count.
func characters(script []byte, line, column int) int {
	lines := bytes.SplitN(script, []byte("\n"), line+1)
	if line > len(lines) {
		return column
	}
	text := lines[line-1]
	return utf8.RuneCount(text[:min(column-1, len(text))]) + 1
}
