// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package shell

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// PowerOffAdvice is what to say about what [PowersOff] finds in a step.
const PowerOffAdvice = "powers the machine off, and the bake fails there: a bake does that itself after its " +
	"clean-up, so remove it, or let a machine that stops be a success, with verdict = \"stop\""

// PowersOff returns the line and column of the command with which a script powers the machine off at its end, and
// whether there is one. Conditional commands do not count. It looks at the scripts that [Check] checks.
func PowersOff(script []byte, interpreter string) (line, column int, ok bool) {
	if len(script) > maxChecked || !utf8.Valid(script) || !offCommand.Match(script) ||
		!slices.Contains([]string{"sh", "dash", "ash", "bash"}, interpreter) {
		return 0, 0, false
	}
	file, fault := Parse(script, syntax.LangBash)
	if fault != nil || len(file.Stmts) == 0 {
		return 0, 0, false
	}
	statements := file.Stmts
	if exit, isExit := statements[len(statements)-1].Cmd.(*syntax.CallExpr); isExit && len(statements) > 1 &&
		commandName(exit) == "exit" {
		statements = statements[:len(statements)-1]
	}
	call := lastCommand(statements[len(statements)-1].Cmd)
	if call == nil || !isPowerOff(literals(call)) {
		return 0, 0, false
	}
	line, column = Position(script, call.Pos())
	return line, column, true
}

// offCommand matches every script that [isPowerOff] finds something in.
var offCommand = regexp.MustCompile(`poweroff|halt|shutdown|init`)

// lastCommand returns the command that runs last where all before it succeed, or nil.
func lastCommand(command syntax.Command) *syntax.CallExpr {
	switch c := command.(type) {
	case *syntax.CallExpr:
		return c
	case *syntax.BinaryCmd:
		switch c.Op {
		case syntax.AndStmt:
			return lastCommand(c.Y.Cmd)
		case syntax.OrStmt:
			return lastCommand(c.X.Cmd)
		}
	}
	return nil
}

func commandName(call *syntax.CallExpr) string {
	if words := literals(call); len(words) > 0 {
		return words[0]
	}
	return ""
}

// literals returns the words of a command; "" for one that is only known when it runs.
func literals(call *syntax.CallExpr) []string {
	var words []string
	for _, arg := range call.Args {
		words = append(words, literal(arg))
	}
	return words
}

func literal(word *syntax.Word) string {
	if len(word.Parts) == 1 {
		switch part := word.Parts[0].(type) {
		case *syntax.SglQuoted:
			return part.Value
		case *syntax.DblQuoted:
			return (&syntax.Word{Parts: part.Parts}).Lit()
		}
	}
	return word.Lit()
}

// isPowerOff reports whether the words of a command power the machine off.
func isPowerOff(words []string) bool {
	for len(words) > 0 && (slices.Contains([]string{"sudo", "exec", "nohup", "command"}, words[0]) ||
		strings.HasPrefix(words[0], "-")) {
		words = words[1:]
	}
	if len(words) == 0 {
		return false
	}
	args := words[1:]
	has := func(names ...string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return slices.Contains(names, a) })
	}
	switch path.Base(words[0]) {
	case "poweroff", "halt":
		return !has("--help", "--reboot", "-w", "--wtmp-only")
	case "shutdown":
		return !has("--help", "-r", "--reboot", "-c", "-k") && !slices.ContainsFunc(args, isReboot)
	case "init", "telinit":
		return has("0")
	case "systemctl":
		return has("poweroff", "halt", "poweroff.target", "halt.target") &&
			!has("mask", "disable", "status", "cat", "show")
	}
	return false
}

// isReboot reports whether an argument is a group of short options with r, such as -rf.
func isReboot(arg string) bool {
	return strings.HasPrefix(arg, "-") && !strings.HasPrefix(arg, "--") && strings.ContainsAny(arg, "rck")
}
