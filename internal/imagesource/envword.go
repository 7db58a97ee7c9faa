// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// isPlain reports whether a value consists of plain text and plain parameters, and adds a problem for the first part
// that does not. It replaces escaped text by quoted text. inQuotes means that the parts are in double quotes.
func (e *envReader) isPlain(parts []syntax.WordPart, inQuotes bool) bool {
	for i, part := range parts {
		if why := e.whyNotPlain(part, i == 0, inQuotes); why != "" {
			e.errorf(part.Pos(), "%s", why)
			return false
		}
		switch part := part.(type) {
		case *syntax.Lit:
			if !inQuotes && strings.Contains(part.Value, `\`) {
				// expand.Literal would keep the backslashes, which bash removes.
				parts[i] = &syntax.SglQuoted{Left: part.Pos(), Value: unescape(part.Value)}
			}
		case *syntax.DblQuoted:
			if !e.isPlain(part.Parts, true) {
				return false
			}
		case *syntax.ParamExp:
			if part.Exp != nil && part.Exp.Word != nil && !e.checkDefault(part.Exp.Word) {
				return false
			}
		}
	}
	return true
}

// unescape removes the backslashes from text outside of quotes. A backslash at the end of the file has no next
// character and stays.
func unescape(text string) string {
	var b strings.Builder
	for rest := text; rest != ""; {
		if rest[0] == '\\' && len(rest) > 1 {
			rest = rest[1:]
		}
		b.WriteByte(rest[0]) // in UTF-8, the later bytes of a character are never a backslash
		rest = rest[1:]
	}
	return b.String()
}

// whyNotPlain returns why a part of a value is refused, or "".
func (e *envReader) whyNotPlain(part syntax.WordPart, first, inQuotes bool) string {
	switch part := part.(type) {
	case *syntax.SglQuoted:
		if part.Dollar {
			return "escapes in $'...' are not read: write the character itself in quotes"
		}
	case *syntax.Lit:
		switch {
		case inQuotes:
		case first && strings.HasPrefix(part.Value, "~"), strings.Contains(part.Value, ":~"):
			return "~ would be the home folder of whoever compiles: put the value in quotes"
		}
	case *syntax.DblQuoted:
		if part.Dollar {
			return "translations in $\"...\" are not read: remove the $"
		}
	case *syntax.ParamExp:
		return whyNotPlainParameter(part)
	case *syntax.CmdSubst, *syntax.ProcSubst:
		return "command substitution is refused, ami.env runs nothing: have compile.sh print NAME=value instead"
	case *syntax.ArithmExp:
		return "arithmetic is not computed: write the result"
	default:
		return "a pattern is not expanded: put the value in quotes"
	}
	return ""
}

// The operators whose meaning is the same in every shell.
var plainOperators = []syntax.ParExpOperator{
	syntax.AlternateUnset, syntax.AlternateUnsetOrNull, syntax.DefaultUnset, syntax.DefaultUnsetOrNull,
	syntax.RemSmallSuffix, syntax.RemLargeSuffix, syntax.RemSmallPrefix, syntax.RemLargePrefix,
}

func whyNotPlainParameter(p *syntax.ParamExp) string {
	if p.Param == nil || !syntax.ValidName(p.Param.Value) {
		return "only variables that ami.env assigned before can be referred to"
	}
	if p.Excl || p.Width || p.IsSet || p.Index != nil || p.Slice != nil || p.Repl != nil || p.Names != 0 ||
		p.NestedParam != nil || len(p.Modifiers) > 0 || p.Flags != nil ||
		p.Exp != nil && !slices.Contains(plainOperators, p.Exp.Op) {
		return "of the parameter expansions only ${A}, ${#A}, ${A-x}, ${A:-x}, ${A+x}, ${A:+x}, ${A#x}, ${A##x}, " +
			"${A%x} and ${A%%x} are read"
	}
	return ""
}

// checkDefault checks the word inside of a parameter expansion, where shells handle quotes differently.
func (e *envReader) checkDefault(word *syntax.Word) bool {
	for _, part := range word.Parts {
		switch part := part.(type) {
		case *syntax.Lit:
			if !strings.ContainsAny(part.Value, `\'"~`) {
				continue
			}
		case *syntax.ParamExp:
			if whyNotPlainParameter(part) == "" && part.Exp == nil {
				continue
			}
		}
		e.errorf(part.Pos(), "inside of ${...} only plain text and $NAME are read")
		return false
	}
	return true
}
