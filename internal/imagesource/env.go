// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
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

// Limits of ami.env. A few lines of A=$A$A would make values very large, and a value that is cut by a pattern takes
// time by the product of both lengths. An AMI's description has at most 255 characters.
const (
	MaxEnv      = 1 << 19 // bytes of the file, and of vars.env of a bundle
	maxValue    = 8192    // bytes of a value
	maxPattern  = 256     // bytes of a pattern, as in ${A%pattern}
	maxExpanded = 1 << 22 // bytes of all values together, and of the products of values and patterns in 64ths
	maxProblems = 100     // problems, after which the others are not looked for
)

// ParseEnv reads ami.env as bash would source it in an empty environment, but runs nothing: it accepts assignments,
// with export or without, quotes, and parameters that the file has assigned before ("$NAME", "${VERSION%.*}",
// "${X:-y}"). Everything else that bash would do is an error with its position.
func ParseEnv(path string, content []byte) (Env, problem.List) {
	e := &envReader{path: path, content: content, env: Env{Vars: map[string]string{}},
		positions: map[string]syntax.Pos{}, left: maxExpanded}
	if e.readable() {
		e.parse()
	}
	e.problems.Sort()
	return e.env, e.problems
}

// EnvLines reads assignments in the format of ami.env line by line, as compile.sh prints them.
type EnvLines struct{ e *envReader }

// NewEnvLines returns a reader that has read nothing. path is the name in messages.
func NewEnvLines(path string) *EnvLines {
	return &EnvLines{&envReader{path: path, env: Env{Vars: map[string]string{}},
		positions: map[string]syntax.Pos{}, left: maxExpanded}}
}

// Env returns the assignments so far.
func (l *EnvLines) Env() Env { return l.e.env }

// Add reads a line, which may refer to variables of earlier ones, and reports whether it is an assignment. It fails
// when all of them together are larger than ami.env may be. The time does not depend on how many there were before.
func (l *EnvLines) Add(line string) (bool, error) {
	e := l.e
	if e.size += len(line) + 1; e.size > MaxEnv {
		return false, fmt.Errorf("its assignments are larger than %d KiB: write large values into files of fs/",
			MaxEnv>>10)
	}
	e.content, e.problems, e.journal = []byte(line+"\n"), nil, nil
	if e.readable() {
		e.parse()
	}
	if e.left < 0 {
		return false, errors.New("its assignments refer to more variables than can be computed")
	}
	if e.problems.Err() == nil {
		return true, nil
	}
	e.size -= len(line) + 1
	for _, a := range slices.Backward(e.journal) {
		a.undo(&e.env)
	}
	return false, nil
}

type envReader struct {
	path      string
	content   []byte
	env       Env
	positions map[string]syntax.Pos // of the last assignment of each name
	left      int                   // of maxExpanded
	problems  problem.List
	size      int          // of the lines of EnvLines
	journal   []assignment // of the newest of them
}

// assignment is what undoing an assignment takes.
type assignment struct {
	name, before string
	again        bool // it had the value before
}

func (a assignment) undo(env *Env) {
	if a.again {
		env.Vars[a.name] = a.before
		return
	}
	delete(env.Vars, a.name)
	env.Names = env.Names[:len(env.Names)-1]
}

// parse reads the content.
func (e *envReader) parse() {
	file, fault := shell.Parse(e.content, syntax.LangBash)
	if fault != nil {
		e.problems.Errorf(e.path, fault.Line, fault.Column, "%s", fault.Message)
		return
	}
	e.file(file)
}

// isOver reports whether nothing more is read, because of too many problems or of values that are too large.
func (e *envReader) isOver() bool { return len(e.problems) >= maxProblems || e.left < 0 }

func (e *envReader) errorf(pos syntax.Pos, format string, args ...any) {
	line, column := shell.Position(e.content, pos)
	e.problems.Errorf(e.path, line, column, format, args...)
}

// readable reports bytes that shells handle differently.
func (e *envReader) readable() bool {
	if len(e.content) > MaxEnv {
		line := bytes.Count(e.content[:MaxEnv], []byte("\n")) + 1
		e.problems.Errorf(e.path, line, 0, "is larger than %d KiB here: put large values into files of fs/ or of "+
			"cloudinit/", MaxEnv>>10)
		return false
	}
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
		if e.isOver() {
			return
		}
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
			if e.isOver() {
				return
			}
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
		case e.isOver():
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
	value, err := e.value(assign)
	switch {
	case errors.Is(err, errTooLong):
		e.errorf(assign.Pos(), "value of %s is over %d bytes", name, maxValue)
		return
	case errors.Is(err, errExpanded):
		e.errorf(assign.Pos(), "the values up to that of %s take more than can be computed: refer to fewer variables",
			name)
		return
	case err != nil:
		e.errorf(assign.Value.Pos(), "read the value of %s: %v", name, err)
		return
	case !utf8.ValidString(value) || !shell.CanQuote(value):
		e.errorf(assign.Pos(), "value of %s is not text", name)
		return
	}
	before, again := e.env.Vars[name]
	e.journal = append(e.journal, assignment{name, before, again})
	if !again {
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
