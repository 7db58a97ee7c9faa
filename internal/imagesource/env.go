// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"github.com/amibakery/packer-plugin-bakery/internal/problem"
	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// Env are the assignments of ami.env.
type Env struct {
	Vars  map[string]string
	Names []string // in the order of the file, each once
}

// maxValue bounds values, which a few lines of A=$A$A could make very large. An AMI's description has at most 255
// characters.
const maxValue = 8192

// ParseEnv reads ami.env as bash would source it in an empty environment, but runs nothing: it accepts assignments,
// with export or without, quotes, and parameters that the file has assigned before ("$NAME", "${VERSION%.*}",
// "${X:-y}"). Everything else that bash would do is an error with its position.
func ParseEnv(path string, content []byte) (Env, problem.List) {
	e := &envReader{path: path, content: content, env: Env{Vars: map[string]string{}},
		positions: map[string]syntax.Pos{}}
	if e.readable() {
		file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(content), "")
		if err != nil {
			fault := shell.Check(content, "bash")
			e.problems.Errorf(path, fault.Line, fault.Column, "%s", fault.Message)
		} else {
			e.file(file)
		}
	}
	e.problems.Sort()
	return e.env, e.problems
}

type envReader struct {
	path      string
	content   []byte
	env       Env
	positions map[string]syntax.Pos // of the last assignment of each name
	problems  problem.List
}

func (e *envReader) errorf(pos syntax.Pos, format string, args ...any) {
	line := strings.Split(string(e.content), "\n")[pos.Line()-1]
	// The parser counts bytes, and does not start again at 1 after a backslash at the end of a line.
	column := utf8.RuneCountInString(line[:min(int(pos.Col())-1, len(line))]) + 1
	e.problems.Errorf(e.path, int(pos.Line()), column, format, args...)
}

// readable reports bytes that shells handle differently.
func (e *envReader) readable() bool {
	for i, line := range bytes.Split(e.content, []byte("\n")) {
		var what string
		switch {
		case i == 0 && bytes.HasPrefix(line, []byte("\ufeff")):
			what = "begins with a byte order mark, which bash would take for part of the first name: save it as " +
				"UTF-8 without BOM"
		case bytes.IndexByte(line, '\r') >= 0:
			what = "has the line ends of Windows, which bash would take for part of the value: save it with LF " +
				"line ends"
		case bytes.IndexByte(line, 0) >= 0:
			what = "holds a NUL byte, which no variable can"
		case !utf8.Valid(line):
			what = "is not UTF-8: save it as UTF-8"
		default:
			continue
		}
		e.problems.Errorf(e.path, i+1, 0, "%s", what)
		return false
	}
	return true
}

func (e *envReader) file(file *syntax.File) {
	for _, stmt := range file.Stmts {
		e.statement(stmt)
	}
	for _, name := range []string{"NAME", "VERSION"} {
		if value, ok := e.env.Vars[name]; ok && value == "" {
			e.errorf(e.positions[name], "%s is empty: give it a value or remove it", name)
		}
	}
}

func (e *envReader) statement(stmt *syntax.Stmt) {
	if stmt.Negated || stmt.Background || stmt.Coprocess || stmt.Disown || len(stmt.Redirs) > 0 {
		e.errorf(stmt.Pos(), "takes only assignments such as NAME='value', without redirections or &: it runs nothing")
		return
	}
	switch cmd := stmt.Cmd.(type) {
	case *syntax.CallExpr:
		if len(cmd.Args) > 0 {
			e.command(cmd)
			return
		}
		for _, assign := range cmd.Assigns {
			e.assign(assign)
		}
	case *syntax.DeclClause:
		e.declare(cmd)
	default:
		e.errorf(stmt.Pos(), "takes only assignments such as NAME='value': it runs nothing")
	}
}

// command reports a command, and suggests how to make it an assignment when it looks like a mistyped one.
func (e *envReader) command(cmd *syntax.CallExpr) {
	pos := cmd.Args[0].Pos()
	switch {
	case len(cmd.Assigns) > 0:
		e.errorf(pos, "a blank ends the value of %s, and what follows would be run: quote the value",
			cmd.Assigns[0].Name.Value)
	case len(cmd.Args) > 1 && strings.HasPrefix(cmd.Args[1].Lit(), "="):
		e.errorf(pos, "%s is followed by a blank: write %[1]s=value without blanks around the =", cmd.Args[0].Lit())
	default:
		e.errorf(pos, "takes only assignments such as NAME='value': it runs nothing")
	}
}

// declare handles "export A=b", and "export A" of a variable that was assigned.
func (e *envReader) declare(cmd *syntax.DeclClause) {
	for _, assign := range cmd.Args {
		switch {
		case cmd.Variant.Value != "export" || assign.Name == nil:
			e.errorf(cmd.Pos(), "takes only assignments such as NAME='value' or export NAME='value'")
			return
		case !assign.Naked:
			e.assign(assign)
		default:
			if _, ok := e.env.Vars[assign.Name.Value]; !ok {
				e.errorf(assign.Pos(), "%s is exported before it is assigned: write export %[1]s='value'",
					assign.Name.Value)
			}
		}
	}
}

func (e *envReader) assign(assign *syntax.Assign) {
	name := assign.Name.Value
	if !shell.IsVariableName(name) {
		e.errorf(assign.Pos(), "%q is not the name of a variable: use letters of ASCII, digits and _", name)
		return
	}
	if assign.Array != nil || assign.Index != nil {
		e.errorf(assign.Pos(), "%s is an array, which ami.env cannot hold: make it a text", name)
		return
	}
	if assign.Value != nil && !e.isPlain(assign.Value.Parts, false) {
		return
	}
	value, err := expand.Literal(&expand.Config{Env: variables(e.env.Vars), NoUnset: true}, assign.Value)
	if err != nil {
		e.errorf(assign.Value.Pos(), "read the value of %s: %v", name, err)
		return
	}
	if assign.Append {
		value = e.env.Vars[name] + value
	}
	switch {
	case len(value) > maxValue:
		e.errorf(assign.Pos(), "value of %s is over %d bytes", name, maxValue)
		return
	case !utf8.ValidString(value) || !shell.CanQuote(value):
		e.errorf(assign.Pos(), "value of %s is not text", name)
		return
	}
	if _, again := e.env.Vars[name]; !again {
		e.env.Names = append(e.env.Names, name)
	}
	e.env.Vars[name] = value
	e.positions[name] = assign.Pos()
}

// variables are the variables that a value may refer to.
type variables map[string]string

func (v variables) Get(name string) expand.Variable {
	value, ok := v[name]
	return expand.Variable{Set: ok, Kind: expand.String, Str: value}
}

func (v variables) Each(func(string, expand.Variable) bool) {}
