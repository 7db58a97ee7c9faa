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

// Refused returns a channel that the first refusal closes. The build cannot succeed then, so the caller need not wait
// for its provisioners.
func (r *Recorder) Refused() <-chan struct{} { return r.refused }

// Refuse makes the recorder refuse all later calls, for the given reason.
func (r *Recorder) Refuse(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuseAll = reason
}

// RefuseJoin makes the recorder refuse a provisioner bakery-image-source, for the given reason.
func (r *Recorder) RefuseJoin(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joinErr = reason
}

// refuse records that a call of a block cannot be done on the machine. The caller holds the lock.
func (r *Recorder) refuse(b *block, reason error) error {
	if len(r.refusals) == 0 {
		close(r.refused)
	}
	err := fmt.Errorf("%s: %w", b.name(&r.tracker), reason)
	if !slices.ContainsFunc(r.refusals, func(other error) bool { return other.Error() == err.Error() }) {
		r.refusals = append(r.refusals, err)
	}
	return err
}

func (r *Recorder) refuseDownload(src string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != nil {
		return r.stopped
	}
	b := r.tracker.blockFor(call{kind: callDownload, path: src})
	return r.refuse(b, fmt.Errorf("download %s: there is nothing to download from: no machine has run yet. %s", src,
		downloadWayOut(b.kind)))
}

func joinRefusals(refusals []error) error {
	if len(refusals) == 0 {
		return nil
	}
	return fmt.Errorf("record the provisioners: %w", errors.Join(refusals...))
}

// refuseCommand returns why a command of a kind of provisioner cannot be recorded, or nil.
func refuseCommand(cmd *packersdk.RemoteCmd, kind string) error {
	switch {
	case cmd.Stdin != nil:
		return fmt.Errorf("it sends input to a command while the command runs, but the machine runs it later, without "+
			"a connection. %s", connectionWayOut(kind))
	case (cmd.Stdout == nil) != (cmd.Stderr == nil):
		// A provisioner that shows output shows both; the shell provisioner's chmod and rm have neither.
		return fmt.Errorf("it reads what %q prints, but the machine runs it later. "+
			"Do what depends on it in a script of a shell block", program(cmd.Command))
	case isWindows(assignment.ReplaceAllString(cmd.Command, "")):
		return fmt.Errorf("the command %q is for Windows, but this builder bakes Linux. %s", program(cmd.Command),
			windowsWayOut(kind))
	case strings.ContainsRune(cmd.Command, 0):
		return errors.New("the command contains a NUL byte, which no shell accepts")
	}
	return nil
}

// checkCommand looks for placeholders in a command.
func checkCommand(command string) (facts bool, _ error) {
	// ansible-local always passes this variable, even without an HTTP server; amazon-ebs does not replace it either.
	command = strings.ReplaceAll(command, "packer_http_addr=ERR_HTTP_ADDR_NOT_IMPLEMENTED_BY_BUILDER", "")
	return checkText("the command", command, renderedPattern)
}

// program returns the first word of a command for a message, unless it is a variable: a command may contain secrets.
func program(command string) string {
	if words := strings.Fields(command); len(words) > 0 && !strings.ContainsAny(words[0], "='\"") {
		return printable(words[0])
	}
	return "a command"
}

// windows matches commands for Windows, of Packer's own and of other provisioners.
var windows = regexp.MustCompile(
	`(?i)^\s*((powershell|cmd)(\.exe)?\s|shutdown(\.exe)?\s+/)|(^|[\s"'=])[a-z]:\\|%[a-z_]+%\\|powershell\.exe`,
)

// assignment matches a variable that the shell provisioner puts before a script. Its value may look like a command for
// Windows.
var assignment = regexp.MustCompile(`\b[A-Za-z_][A-Za-z0-9_]*='[^']*'`)

func isWindows(command string) bool { return windows.MatchString(command) }

// isChmod reports whether a command is the shell provisioner's chmod of its last upload.
func isChmod(cmd *packersdk.RemoteCmd, uploaded string) bool {
	mode, isChmod := strings.CutPrefix(cmd.Command, "chmod 0")
	if !isChmod || len(mode) < 4 || uploaded == "" || cmd.Stdout != nil || cmd.Stderr != nil {
		return false
	}
	return strings.Trim(mode[:3], "01234567") == "" && mode[3:] == " "+uploaded
}

// ExitCodeWayOut is the setting of a shell block that makes its command end with 0 where another exit status is fine.
const ExitCodeWayOut = `execute_command = "chmod +x {{ .Path }}; {{ .Vars }} {{ .Path }} || [ $? = 3 ]"`

// exitZero is in Packer's message when a shell block does not accept exit status 0 as success.
const exitZero = "exited with non-zero exit status: 0"

// Explain adds the cause to an error of a provisioner, when the recorder knows it.
func (r *Recorder) Explain(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.tracker.block
	switch {
	case b == nil:
		return err
	case strings.Contains(err.Error(), exitZero):
		return fmt.Errorf(
			"%s: %w. The exit status is not known yet: the machine runs the script later, and the recorder "+
				"returns 0 for every command. Remove valid_exit_codes, and make the command itself end with 0 or not: "+
				ExitCodeWayOut,
			b.name(&r.tracker),
			err,
		)
	case withoutConnection[b.kind] != "":
		return fmt.Errorf("%s: %w. It connects to the machine over SSH, but this builder never does. %s",
			b.name(&r.tracker), err, withoutConnection[b.kind])
	}
	return err
}
