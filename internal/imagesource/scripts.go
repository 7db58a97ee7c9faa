// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/problem"
	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// ScriptFile is one file of script/.
type ScriptFile struct {
	Path    string // as messages show it: "script/install.sh"
	Content []byte
	Mode    fs.FileMode
}

// The names of the two scripts.
const (
	compileScript = "compile.sh"
	installScript = "install.sh"
)

// scripts reads the two scripts of script/. Other files there are for compile.sh.
func (r *reader) scripts() {
	if !r.has[scriptDir] {
		return
	}
	r.source.Compile = r.script(scriptDir + "/" + compileScript)
	r.source.Install = r.script(scriptDir + "/" + installScript)
	if r.source.Compile == nil {
		r.warnOfNames(compileScript)
	}
	if r.source.Install == nil {
		r.warnOfNames(installScript)
	}
}

// warnOfNames warns of files of script/ that look like a misspelt script that is not there.
func (r *reader) warnOfNames(script string) {
	entries, _ := os.ReadDir(filepath.Join(r.dir, scriptDir)) // a folder that cannot be read is reported before
	for _, e := range entries {
		name := e.Name()
		stem, _, _ := strings.Cut(name, ".")
		isLike := strings.EqualFold(stem+".sh", script) || problem.Nearest(name, []string{script}) != ""
		if isLike && name != script && !e.IsDir() {
			r.warnf(scriptDir+"/"+name, "is not run: did you mean %s?", script)
		}
	}
}

func (r *reader) script(rel string) *ScriptFile {
	content, mode, ok := r.file(rel)
	if !ok {
		return nil
	}
	r.checkScript(rel, content)
	return &ScriptFile{Path: rel, Content: content, Mode: mode}
}

// checkScript checks a script of the Image-Source.
func (r *reader) checkScript(rel string, content []byte) {
	r.problems = append(r.problems, CheckScript(rel, content)...)
}

// CheckScript reports a script that the kernel cannot run, or whose shell cannot parse it; rel is its name in messages.
func CheckScript(rel string, content []byte) (problems problem.List) {
	if bytes.HasPrefix(content, []byte("\ufeff")) {
		problems.Errorf(rel, 1, 1, "begins with a byte order mark, which hides the \"#!\" from the kernel: save "+
			"it as UTF-8 without BOM")
		return problems
	}
	interpreter := shell.Interpreter(content)
	if interpreter == "" {
		problems.Errorf(rel, 1, 1, "does not begin with a \"#!\" line, so the machine could not run it: make the "+
			"first line \"#!/bin/sh\"")
		return problems
	}
	return checkShell(rel, content, interpreter)
}

// checkBoothook checks a boothook of the Image-Source.
func (r *reader) checkBoothook(rel string, content []byte) {
	r.problems = append(r.problems, CheckBoothook(rel, content)...)
}

// CheckBoothook checks a boothook; rel is its name in messages. cloud-init removes the "#cloud-boothook" line and
// executes the rest (cloudinit/handlers/boot_hook.py). The kernel refuses a file that does not begin with "#!".
func CheckBoothook(rel string, content []byte) (problems problem.List) {
	_, script, _ := bytes.Cut(content, []byte("#cloud-boothook"))
	script = bytes.TrimLeft(script, " \t\r\n")
	if len(script) == 0 {
		problems.Errorf(rel, 1, 1, "holds no script after #cloud-boothook")
		return problems
	}
	interpreter := shell.Interpreter(script)
	if interpreter == "" {
		line := bytes.Count(content[:len(content)-len(script)], []byte("\n")) + 1
		problems.Errorf(rel, line, 1, "what follows #cloud-boothook does not begin with \"#!\", so the machine "+
			"could not run it: make it \"#!/bin/sh\"")
		return problems
	}
	// "#cloud-boothook" is a comment for every shell, so the whole file is checked and the line numbers are right.
	return checkShell(rel, content, interpreter)
}

// checkShell reports syntax errors, and the line ends of Windows, with which the kernel looks for an interpreter named
// "sh\r".
func checkShell(rel string, content []byte, interpreter string) (problems problem.List) {
	if before, _, found := bytes.Cut(content, []byte("\r\n")); found {
		line := bytes.Count(before, []byte("\n")) + 1
		problems.Errorf(rel, line, 0, "has the line ends of Windows, which the machine would take for part of "+
			"each command: save it with LF line ends")
		return problems
	}
	fault := shell.Check(content, interpreter)
	switch {
	case fault == nil:
		if line, column, ok := shell.PowersOff(content, interpreter); ok {
			problems.Warnf(rel, line, column, "%s", shell.PowerOffAdvice)
		}
	case fault.BashOnly:
		problems.Warnf(rel, fault.Line, fault.Column, "%s, but the \"#!\" line asks for %s: make it \"#!/bin/bash\"",
			fault.Message, interpreter)
	default:
		problems.Errorf(rel, fault.Line, fault.Column, "%s", fault.Message)
	}
	return problems
}
