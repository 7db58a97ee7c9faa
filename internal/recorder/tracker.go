// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// The kinds of provisioners that are handled differently.
const (
	kindShell = "shell"
	kindFile  = "file"
)

// tracker finds out which provisioner is running, from the lines it prints and the calls it makes.
//
// Provisioners are counted from 1 when they record their first operation, in the order of the template. shell-local,
// breakpoint, sleep and other provisioners that never use the communicator are not counted. Consecutive file blocks
// with the same destination count as one, because they cannot be distinguished.
type tracker struct {
	block *block // the current provisioner; nil when the last one has ended and no other has printed its first line
	count int    // of provisioners that recorded something
	local int    // scripts of shell-local
	// inLocal says that the last provisioner whose first line was recognised is shell-local.
	inLocal bool
	// silent are the kinds of provisioners that have printed their first line and never used the communicator.
	silent []string
}

// block is one provisioner block of the template, as far as the tracker knows it.
type block struct {
	kind     string // "shell", "ansible-local"; empty when unknown
	ordinal  int    // 0 while nothing was recorded
	rendered bool   // its next upload is text that Packer has rendered, so it may contain placeholders
	ended    bool   // it has made its last call
	said     string // the last line it printed
	called   bool   // it has used the communicator

	script  string // shell: the name of the script that was printed last
	pending bool   // shell: the script was not uploaded yet
	remote  string // shell: the destination of its scripts
	envFile string // shell: the destination of its variables
	dst     string // file: the destination that was printed
	src     string // file: the source that was printed

	step *step
}

// step is a part of a block that the machine runs and reports under one name.
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

// stepFor returns the step that the block's next operation belongs to. The first operation gives the block its number.
func (b *block) stepFor(t *tracker) (_ *step, isNew bool) {
	if b.ordinal == 0 {
		t.count++
		b.ordinal = t.count
	}
	if b.step != nil && b.step.ops < maxOps && (b.step.label == b.script || b.step.label == "") {
		b.step.label = b.script
		return b.step, false
	}
	b.step = &step{kind: b.kind, label: b.script, ordinal: b.ordinal, block: b}
	return b.step, true
}

// name returns the block's name for a refusal. A block that has recorded nothing has the next number.
func (b *block) name(t *tracker) string {
	ordinal := b.ordinal
	if ordinal == 0 {
		ordinal = t.count + 1
	}
	return (&step{kind: b.kind, label: b.script, ordinal: ordinal}).name()
}

// The kinds of calls to the recorder.
const (
	callCommand   = "command"
	callUpload    = "upload"
	callUploadDir = "directory"
	callDownload  = "download"
)

type call struct {
	kind   string
	path   string // or the command
	noInfo bool   // an upload without file information
}

// blockFor returns the block that a call belongs to. A call that the current block cannot make comes from another
// provisioner, which has printed nothing.
func (t *tracker) blockFor(c call) *block {
	if t.block == nil || !t.block.canMake(c) {
		t.begin(&block{})
	}
	t.block.called = true
	if c.kind == callUpload && c.noInfo {
		t.handleUpload(c.path)
	}
	return t.block
}

// envFileName matches the name that Packer's shell provisioner gives its file of variables; the number is below 9999.
var envFileName = regexp.MustCompile(`(^|/)varfile_[0-9]{1,4}\.sh$`)

// rmPrefix begins the shell provisioner's last command, which removes its file of variables. Without such a file, the
// prefix is the whole command.
const rmPrefix = "rm -f "

// canMake reports whether a block can make such a call, after the calls it has already made.
func (b *block) canMake(c call) bool {
	switch {
	case b.ended:
		return false
	case b.kind == kindFile:
		return c.kind == callDownload || c.kind == callUploadDir && c.path == b.dst ||
			c.kind == callUpload && !c.noInfo && (c.path == b.dst || c.path == b.dst+path.Base(b.src))
	case b.kind == kindShell:
		return c.kind == callCommand || c.kind == callUpload && c.noInfo && b.pending
	}
	return c.kind != callUpload || !c.noInfo || !envFileName.MatchString(c.path)
}

// handleUpload records an upload of the shell provisioner: its file of variables, which comes first, or a script.
func (t *tracker) handleUpload(dst string) {
	b := t.block
	switch {
	case b.kind == "" && b.ordinal == 0 && envFileName.MatchString(dst):
		b.kind, b.envFile, b.rendered = kindShell, dst, true
	case b.kind != kindShell:
	case b.remote != "" && b.remote != dst: // another block of the template, whose first line is the same
		t.begin(&block{kind: kindShell, script: b.script, rendered: b.rendered, remote: dst, called: true})
	default:
		b.remote, b.pending = dst, false
	}
}

// begin makes another block the current one, or none, and takes note of the last one when it has recorded nothing.
func (t *tracker) begin(next *block) {
	t.silent = t.silentKinds()
	t.block, t.inLocal = next, false
}

// silentKinds returns the kinds of provisioners that have never used the communicator, the current one included.
func (t *tracker) silentKinds() []string {
	if b := t.block; b != nil && !b.called && b.kind != "" && b.kind != kindShell && b.kind != kindFile {
		return append(t.silent, b.kind)
	}
	return t.silent
}

// firstLines are the first lines of provisioners whose kind is not in the line itself.
var firstLines = []struct {
	line *regexp.Regexp
	kind string
}{
	{regexp.MustCompile(`^Provisioning with Ansible\.\.\.$`), "ansible"},
	{
		regexp.MustCompile(`^(Creating|Uploading Playbook directory to) Ansible staging directory\.\.\.$`),
		"ansible-local",
	},
	{regexp.MustCompile(`^Provisioning with Powershell\.\.\.$`), "powershell"},
	{regexp.MustCompile(`^Restarting Machine$`), "windows-restart"},
	{regexp.MustCompile(`^Automatic SBOM generation enabled$`), "hcp-sbom"},
	{regexp.MustCompile(`^Provisioning with Salt\.\.\.$`), "salt-masterless"},
	{regexp.MustCompile(`^Running Mondoo .*packer provisioner `), "cnspec"},
}

// localLine begins the line that shell-local prints for each of its scripts.
const localLine = "Running local shell script: "

var (
	shellLine = regexp.MustCompile(`^Provisioning with shell script: (.+)$`)
	fileLine  = regexp.MustCompile(`^(?:Uploading|Downloading) (.+) => (.+)$`)
	otherLine = regexp.MustCompile(`^Provisioning with ([A-Za-z][A-Za-z-]{1,30})(?:\.\.\.)?$`)
	// notRecorded are lines between provisioners, and the first lines of those that run on this computer.
	notRecorded = regexp.MustCompile(`^(` + localLine + `|Pausing at breakpoint provisioner|` +
		`Breakpoint provisioner |Pausing \S+ (before the next|after this) provisioner\.\.\.$|` +
		`Setting a \S+ timeout for the next provisioner\.\.\.$|Provisioner failed with |Skipping shell-local )`)
	// pausing is what Packer prints when it waits for pause_before or pause_after.
	pausing = regexp.MustCompile(`^Pausing (\S+) (?:before the next|after this) provisioner\.\.\.$`)
	// temporaryScript and temporaryContent match the files that Packer writes inline scripts and the content of a file
	// block to.
	temporaryScript  = regexp.MustCompile(`(^|/)packer-shell[0-9]+$`)
	temporaryContent = regexp.MustCompile(`(^|/)pkr-file-content[0-9]+$`)
)

// handle handles one line that a provisioner printed. It reports whether a provisioner that uses the communicator
// begins.
func (t *tracker) handle(line string) bool {
	if m := shellLine.FindStringSubmatch(line); m != nil {
		t.handleScript(m[1])
		return true
	}
	if m := fileLine.FindStringSubmatch(line); m != nil {
		t.handleFile(m[1], m[2])
		return true
	}
	if notRecorded.MatchString(line) {
		t.begin(nil)
		if strings.HasPrefix(line, localLine) {
			t.local++
			t.inLocal = true
		}
		return false
	}
	kind := ""
	if m := otherLine.FindStringSubmatch(line); m != nil {
		kind = strings.ToLower(m[1])
	}
	for _, i := range firstLines {
		if i.line.MatchString(line) {
			kind = i.kind
		}
	}
	if kind == "" {
		if t.block != nil {
			t.block.said = line
		}
		return false
	}
	if b := t.block; b != nil && b.kind == "ansible" && kind == "ansible-local" {
		b.kind = kind
	} else {
		// A script of shell-local may have printed the line, unless it is one of a provisioner that is known.
		t.begin(&block{kind: kind, called: t.inLocal && withoutConnection[kind] == ""})
	}
	return true
}

// handleScript handles the shell provisioner's line, printed once for each script. A block with an inline script has no
// other.
func (t *tracker) handleScript(script string) {
	if b := t.block; b != nil && b.kind == "windows-shell" {
		return
	}
	inline := temporaryScript.MatchString(script)
	label := printable(path.Base(script))
	if inline {
		label = "inline"
	}
	if b := t.block; b == nil || b.kind != kindShell || b.ended || inline && b.remote != "" || b.script == "inline" {
		t.begin(&block{kind: kindShell})
	}
	t.block.script, t.block.pending, t.block.rendered = label, true, inline
}

func (t *tracker) handleFile(src, dst string) {
	if b := t.block; b == nil || b.kind != kindFile || b.dst != dst {
		t.begin(&block{kind: kindFile, dst: dst})
	}
	t.block.src, t.block.rendered = src, temporaryContent.MatchString(src)
}

// printable returns a name for one line of a console: ASCII, and shortened to 60 characters.
func printable(name string) string {
	const limit = 60
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
	if len(name) > limit {
		name = name[:limit-3] + "..."
	}
	return name
}
