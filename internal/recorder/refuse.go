// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

var (
	errNoMachine = errors.New("there is no machine to connect to: this builder never connects to one. " +
		"An error-cleanup-provisioner can be shell-local only")
	errStopped = errors.New("an earlier provisioner cannot be recorded, so nothing more is")
)

// Refused is closed by the first refusal. The build cannot succeed then, and waiting for its provisioners is no use.
func (r *Recorder) Refused() <-chan struct{} { return r.refused }

// Refuse lets whatever comes be refused, for the reason given.
func (r *Recorder) Refuse(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.always = reason
}

// RefuseJoin lets a provisioner bakery-image-source be refused, for the reason given.
func (r *Recorder) RefuseJoin(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noJoin = reason
}

// refuse notes that something of a block cannot be done on the machine. The caller holds the lock.
func (r *Recorder) refuse(b *block, reason error) error {
	if len(r.refusals) == 0 {
		close(r.refused)
	}
	err := fmt.Errorf("%s: %w", b.name(&r.speaker), reason)
	if !slices.ContainsFunc(r.refusals, func(other error) bool { return other.Error() == err.Error() }) {
		r.refusals = append(r.refusals, err)
	}
	return err
}

func (r *Recorder) refuseCall(c call, reason error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != nil {
		return r.stopped
	}
	return r.refuse(r.speaker.of(c), reason)
}

func joinRefusals(refusals []error) error {
	if len(refusals) == 0 {
		return nil
	}
	return fmt.Errorf("record the provisioners: %w", errors.Join(refusals...))
}

// refuseCommand is what is wrong with a command, if anything.
func refuseCommand(cmd *packersdk.RemoteCmd) error {
	switch {
	case cmd.Stdin != nil:
		return errors.New("it talks to a command while that runs, but the machine runs it later, and alone. " +
			"Of ansible, use ansible-local; of others, what runs by itself in a shell block")
	case (cmd.Stdout == nil) != (cmd.Stderr == nil):
		// Whoever shows output shows both; the shell provisioner's chmod and rm have neither.
		return fmt.Errorf("it reads what %q prints, but the machine runs it later. "+
			"Do what depends on it in a script of a shell block", program(cmd.Command))
	case isWindows(assignment.ReplaceAllString(cmd.Command, "")):
		return fmt.Errorf("the command %q is for Windows, but this builder bakes Linux. Remove the block, or keep it for another "+
			"source with only = [...]", program(cmd.Command))
	case strings.ContainsRune(cmd.Command, 0):
		return errors.New("the command holds a NUL byte, which no shell takes")
	}
	// ansible-local always says this, whether or not anybody listens there; amazon-ebs leaves it as it is too.
	command := strings.ReplaceAll(cmd.Command, "packer_http_addr=ERR_HTTP_ADDR_NOT_IMPLEMENTED_BY_BUILDER", "")
	if found := placeholder.FindString(command); found != "" {
		return refusePlaceholder("the command", found)
	}
	return nil
}

// program is enough of a command to know it by, and too little to hold a secret: its first word, unless that is a variable.
func program(command string) string {
	if words := strings.Fields(command); len(words) > 0 && !strings.ContainsAny(words[0], "='\"") {
		return printable(words[0])
	}
	return "a command"
}

// windows is what commands for Windows begin with, or hold: Packer's own provisioners and everybody else's.
var windows = regexp.MustCompile(`(?i)^\s*((powershell|cmd)(\.exe)?\s|shutdown(\.exe)?\s+/)|(^|[\s"'=])[a-z]:\\|%[a-z_]+%\\|powershell\.exe`)

// assignment is a variable that the shell provisioner puts in front of a script: its value may be for Windows, or look so.
var assignment = regexp.MustCompile(`\b[A-Za-z_][A-Za-z0-9_]*='[^']*'`)

func isWindows(command string) bool { return windows.MatchString(command) }

// isChmod tells whether a command is the shell provisioner's chmod of what it has just uploaded.
func isChmod(cmd *packersdk.RemoteCmd, uploaded string) bool {
	mode, isChmod := strings.CutPrefix(cmd.Command, "chmod 0")
	if !isChmod || len(mode) < 4 || uploaded == "" || cmd.Stdout != nil || cmd.Stderr != nil {
		return false
	}
	return strings.Trim(mode[:3], "01234567") == "" && mode[3:] == " "+uploaded
}

// exitZero is what Packer says when a shell block does not take exit status 0 for success.
const exitZero = "exited with non-zero exit status: 0"

// Explain adds to an error of a provisioner what it comes from, where the recorder knows.
func (r *Recorder) Explain(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.speaker.block
	switch {
	case b == nil:
		return err
	case strings.Contains(err.Error(), exitZero):
		return fmt.Errorf("%s: %w. The exit status is not known yet: the machine runs the script later, and the recording ends every "+
			"command with 0. Leave valid_exit_codes out, and let the command itself end with 0 or not: "+
			`execute_command = "chmod +x {{ .Path }}; {{ .Vars }} {{ .Path }} || [ $? = 3 ]"`, b.name(&r.speaker), err)
	case b.kind == "ansible":
		return fmt.Errorf("%s: %w. It connects to the machine over SSH, but this builder never does: use ansible-local",
			b.name(&r.speaker), err)
	}
	return err
}
