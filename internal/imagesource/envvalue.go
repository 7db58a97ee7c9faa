// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"errors"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

var (
	errTooLong  = errors.New("the value is too long")
	errExpanded = errors.New("all values together are too long")
)

// value returns the value of an assignment. It computes one part of it after the other, and no part whose result could
// not be held, so that what a few lines mean takes no more memory than a value may.
func (e *envReader) value(assign *syntax.Assign) (string, error) {
	var b strings.Builder
	if assign.Append {
		b.WriteString(e.env.Vars[assign.Name.Value])
	}
	if assign.Value != nil {
		if err := e.expand(&b, assign.Value.Parts, false); err != nil {
			return "", err
		}
	}
	if e.spend(b.Len()); e.left < 0 {
		return "", errExpanded
	}
	return b.String(), nil
}

// expand appends what parts of a word mean. inQuotes means that they are in double quotes.
func (e *envReader) expand(b *strings.Builder, parts []syntax.WordPart, inQuotes bool) error {
	for _, part := range parts {
		switch part := part.(type) {
		case *syntax.DblQuoted:
			if err := e.expand(b, part.Parts, true); err != nil {
				return err
			}
			continue
		case *syntax.ParamExp:
			if err := e.checkExpansion(part); err != nil {
				return err
			}
		}
		if inQuotes {
			part = &syntax.DblQuoted{Parts: []syntax.WordPart{part}}
		}
		text, err := expand.Literal(&expand.Config{Env: variables(e.env.Vars), NoUnset: true},
			&syntax.Word{Parts: []syntax.WordPart{part}})
		if err != nil {
			return err
		}
		if b.WriteString(text); b.Len() > maxValue {
			return errTooLong
		}
	}
	return nil
}

// checkExpansion refuses an expansion of a parameter that would take too much memory or time. The word in it, if there
// is one, is of plain text and parameters.
func (e *envReader) checkExpansion(p *syntax.ParamExp) error {
	e.spend(1)
	if p.Exp == nil || p.Exp.Word == nil {
		return nil
	}
	length := 0
	for _, part := range p.Exp.Word.Parts {
		switch part := part.(type) {
		case *syntax.Lit:
			length += len(part.Value)
		case *syntax.ParamExp:
			length += len(e.env.Vars[part.Param.Value])
		}
		if length > maxValue {
			return errTooLong
		}
	}
	switch p.Exp.Op {
	case syntax.RemSmallSuffix, syntax.RemLargeSuffix, syntax.RemSmallPrefix, syntax.RemLargePrefix:
		if length > maxPattern {
			return errors.New("a pattern in ${...} is too long")
		}
		e.spend((len(e.env.Vars[p.Param.Value]) + 1) * (length + 1) / 64)
	}
	if e.left < 0 {
		return errExpanded
	}
	return nil
}

// spend takes from what all values together may have.
func (e *envReader) spend(n int) { e.left -= n }
