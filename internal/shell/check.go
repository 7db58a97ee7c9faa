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
// It checks only scripts for sh, dash, ash and bash, only those in UTF-8, which the parser needs, and only those of up
// to maxChecked bytes: a script may have an archive after its last line.
func Check(script []byte, interpreter string) *Fault {
	if len(script) > maxChecked || !utf8.Valid(script) {
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

// maxChecked bounds the memory for checking a script, which is up to two hundred times its size.
const maxChecked = 1 << 18

func parse(script []byte, lang syntax.LangVariant) *Fault {
	_, fault := Parse(script, lang)
	return fault
}

// faultOf returns what an error of the parser says.
func faultOf(script []byte, err error) *Fault {
	if deep, ok := errors.AsType[*tooDeepError](err); ok {
		return &Fault{Line: deep.line, Column: 1, Message: deep.Error()}
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
		fault.Line, fault.Column = Position(script, pos)
	}
	return fault
}

// Position returns the line of a parser's position, and the column in characters, as editors count. It computes both
// from the offset: the parser does not count the columns of a long line, counts bytes, and does not start again at 1
// after a backslash at the end of a line.
func Position(script []byte, pos syntax.Pos) (line, column int) {
	before := script[:min(int(pos.Offset()), len(script))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}
