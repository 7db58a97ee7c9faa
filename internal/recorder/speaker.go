// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// The kinds of provisioners that are told apart by more than their name.
const (
	kindShell = "shell"
	kindFile  = "file"
)

// speaker follows which provisioner is at work, by the lines it says and the calls it makes.
//
// Provisioners are counted from 1 when they record their first operation, in the order of the template. shell-local,
// breakpoint, sleep and other provisioners that never use the communicator are not counted, and file blocks that follow
// one another with the same destination count as one: nothing tells them apart.
type speaker struct {
	block *block // nil when nobody has introduced himself since the last one ended
	count int    // of provisioners that recorded something
}

// block is one provisioner of the template, as far as it can be told.
type block struct {
	kind     string // "shell", "ansible-local"; empty when unknown
	ordinal  int    // 0 while nothing was recorded
	rendered bool   // what it uploads next is text that Packer has rendered, so it may hold placeholders
	ended    bool   // it has made its last call

	script  string // shell: the script that was announced, by its name
	pending bool   // shell: and was not uploaded yet
	remote  string // shell: where its scripts are uploaded to
	envFile string // shell: where its variables are
	dst     string // file: the destination that was announced
	src     string // file: and the source

	step *step
}

// step is a part of a block that the machine does under one name.
type step struct {
	dir     string
	kind    string
	label   string
	ordinal int
	ops     int
	block   *block
}

func (s *step) name() string {
	name := fmt.Sprintf("provisioner %d", s.ordinal)
	if s.kind == "" {
		return name
	}
	return name + " (" + strings.TrimSpace(s.kind+" "+s.label) + ")"
}

// maxOps is how many operations a step may have, besides a pause: their file names have four digits.
const maxOps = 9998

// stepFor is the step of the block to add an operation to. The block gets its number by its first.
func (b *block) stepFor(s *speaker) (_ *step, isNew bool) {
	if b.ordinal == 0 {
		s.count++
		b.ordinal = s.count
	}
	if b.step != nil && b.step.ops < maxOps && (b.step.label == b.script || b.step.label == "") {
		b.step.label = b.script
		return b.step, false
	}
	b.step = &step{kind: b.kind, label: b.script, ordinal: b.ordinal, block: b}
	return b.step, true
}

// name is the block's name for a refusal; one that has recorded nothing will be the next to be counted.
func (b *block) name(s *speaker) string {
	ordinal := b.ordinal
	if ordinal == 0 {
		ordinal = s.count + 1
	}
	return (&step{kind: b.kind, label: b.script, ordinal: ordinal}).name()
}

// What is asked of the recorder.
const (
	callCommand   = "command"
	callUpload    = "upload"
	callUploadDir = "directory"
	callDownload  = "download"
)

type call struct {
	kind string
	path string // or the command
	bare bool   // an upload without file information
}

// of is the block a call belongs to. A call that the block which spoke last does not make is another provisioner's,
// one that says nothing.
func (s *speaker) of(c call) *block {
	if s.block == nil || !s.block.makes(c) {
		s.block = &block{}
	}
	if c.kind == callUpload && c.bare {
		s.takeScript(c.path)
	}
	return s.block
}

// envFileName is what Packer's shell provisioner calls its file of variables; the number is below 9999.
var envFileName = regexp.MustCompile(`(^|/)varfile_[0-9]{1,4}\.sh$`)

// cleanNothing is the shell provisioner's last command when it has no file of variables to remove.
const cleanNothing = "rm -f "

// makes tells whether a block makes such a call, after what it has done before.
func (b *block) makes(c call) bool {
	switch {
	case b.ended:
		return false
	case b.kind == kindFile:
		return c.kind == callDownload || c.kind == callUploadDir && c.path == b.dst ||
			c.kind == callUpload && !c.bare && (c.path == b.dst || c.path == b.dst+path.Base(b.src))
	case b.kind == kindShell:
		return c.kind == callCommand || c.kind == callUpload && c.bare && b.pending
	}
	return c.kind != callUpload || !c.bare || !envFileName.MatchString(c.path)
}

// takeScript notes an upload of the shell provisioner: a script, or its file of variables, which comes first.
func (s *speaker) takeScript(dst string) {
	b := s.block
	switch {
	case b.kind == "" && b.ordinal == 0 && envFileName.MatchString(dst):
		b.kind, b.envFile, b.rendered = kindShell, dst, true
	case b.kind != kindShell:
	case b.remote != "" && b.remote != dst: // another block of the template, which begins with the same line
		s.block = &block{kind: kindShell, script: b.script, rendered: b.rendered, remote: dst}
	default:
		b.remote, b.pending = dst, false
	}
}

// leave ends the block that spoke last.
func (s *speaker) leave() { s.block = nil }

// introductions are the first lines of provisioners, as far as their kind cannot be told from the line itself.
var introductions = []struct {
	line *regexp.Regexp
	kind string
}{
	{regexp.MustCompile(`^Provisioning with Ansible\.\.\.$`), "ansible"},
	{regexp.MustCompile(`^(Creating|Uploading Playbook directory to) Ansible staging directory\.\.\.$`), "ansible-local"},
	{regexp.MustCompile(`^Provisioning with Powershell\.\.\.$`), "powershell"},
	{regexp.MustCompile(`^Restarting Machine$`), "windows-restart"},
	{regexp.MustCompile(`^Automatic SBOM generation enabled$`), "hcp-sbom"},
	{regexp.MustCompile(`^Provisioning with Salt\.\.\.$`), "salt-masterless"},
}

var (
	shellLine = regexp.MustCompile(`^Provisioning with shell script: (.+)$`)
	fileLine  = regexp.MustCompile(`^(?:Uploading|Downloading) (.+) => (.+)$`)
	otherLine = regexp.MustCompile(`^Provisioning with ([A-Za-z][A-Za-z-]{1,30})(?:\.\.\.)?$`)
	// notRecorded are lines between provisioners, and the first lines of those that run on this computer.
	notRecorded = regexp.MustCompile(`^(Running local shell script: |Pausing at breakpoint provisioner|Breakpoint provisioner |` +
		`Pausing \S+ (before the next|after this) provisioner\.\.\.$|Setting a \S+ timeout for the next provisioner\.\.\.$|` +
		`Provisioner failed with |Skipping shell-local )`)
	// pausing is what Packer says when it waits for pause_before or pause_after.
	pausing = regexp.MustCompile(`^Pausing (\S+) (?:before the next|after this) provisioner\.\.\.$`)
	// temporaryScript and temporaryContent are the files Packer writes inline scripts and the content of a file block to.
	temporaryScript  = regexp.MustCompile(`(^|/)packer-shell[0-9]+$`)
	temporaryContent = regexp.MustCompile(`(^|/)pkr-file-content[0-9]+$`)
)

// hear takes one line that a provisioner said, and tells whether it introduced somebody who records.
func (s *speaker) hear(line string) bool {
	if m := shellLine.FindStringSubmatch(line); m != nil {
		s.hearScript(m[1])
		return true
	}
	if m := fileLine.FindStringSubmatch(line); m != nil {
		s.hearFile(m[1], m[2])
		return true
	}
	if notRecorded.MatchString(line) {
		s.leave()
		return false
	}
	kind := ""
	if m := otherLine.FindStringSubmatch(line); m != nil {
		kind = strings.ToLower(m[1])
	}
	for _, i := range introductions {
		if i.line.MatchString(line) {
			kind = i.kind
		}
	}
	if kind == "" {
		return false
	}
	if b := s.block; b != nil && b.kind == "ansible" && kind == "ansible-local" {
		b.kind = kind
	} else {
		s.block = &block{kind: kind}
	}
	return true
}

// hearScript: the shell provisioner says this once for each of its scripts, and has one script when that is inline.
func (s *speaker) hearScript(script string) {
	if b := s.block; b != nil && b.kind == "windows-shell" {
		return
	}
	inline := temporaryScript.MatchString(script)
	label := printable(path.Base(script))
	if inline {
		label = "inline"
	}
	if b := s.block; b == nil || b.kind != kindShell || b.ended || inline && b.remote != "" || b.script == "inline" {
		s.block = &block{kind: kindShell}
	}
	s.block.script, s.block.pending, s.block.rendered = label, true, inline
}

func (s *speaker) hearFile(src, dst string) {
	if b := s.block; b == nil || b.kind != kindFile || b.dst != dst {
		s.block = &block{kind: kindFile, dst: dst}
	}
	s.block.src, s.block.rendered = src, temporaryContent.MatchString(src)
}

// printable is a name as far as a console shows it in one line: ASCII, and not longer than a line has room for.
func printable(name string) string {
	const room = 60
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
	if len(name) > room {
		name = name[:room-3] + "..."
	}
	return name
}
