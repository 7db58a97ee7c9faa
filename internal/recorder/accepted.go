// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"fmt"
	"regexp"
	"strings"
)

// acceptance is a command that does not end its provisioner when it fails: the provisioner ignores its exit status, or
// takes more than 0 as success. The recorder answers 0 for it as for all, and the machine goes on as the provisioner
// would.
type acceptance struct {
	kind string
	// said matches the last line that the provisioner prints before the command, and command the command; nil is any.
	said, command *regexp.Regexp
	// statuses are the exit statuses besides 0, separated by spaces, or any.
	statuses string
	// setting is what the template has to set for it, in every block of the kind; empty when nothing is needed.
	setting string
}

// anyStatus is every exit status.
const anyStatus = "any"

// acceptances are those of provisioners whose sources are public. With the same settings, each goes on after the same
// exit statuses over SSH.
var acceptances = []acceptance{
	// puppet apply and puppet agent run with --detailed-exitcodes, and 2 says that something was changed.
	{kind: "puppet", said: regexp.MustCompile(`^Running Puppet: `), statuses: anyStatus, setting: "ignore_exit_codes"},
	{kind: "puppet", said: regexp.MustCompile(`^Running Puppet: `), statuses: "2"},
	{kind: "itamae", command: regexp.MustCompile(` --detailed-exitcode\b`), statuses: anyStatus,
		setting: "ignore_exit_codes"},
	{kind: "itamae", command: regexp.MustCompile(` --detailed-exitcode\b`), statuses: "2"},
	// It removes the directory unless stat succeeds. When stat fails, there is nothing to remove.
	{kind: "salt-masterless", said: regexp.MustCompile(`^Verifying Path: `), statuses: anyStatus},
	{kind: "salt-masterless", statuses: anyStatus,
		said: regexp.MustCompile(`^(Downloading saltstack bootstrap to |Installing Salt with command )`)},
	// no_exit_on_failure leaves --retcode-passthrough out, with which salt-call fails when a state does.
	{kind: "salt-masterless", said: regexp.MustCompile(`^Running: salt-call --local `), statuses: anyStatus,
		setting: byCommand},
	{kind: "goss", said: regexp.MustCompile(`^Downloading Goss to `), statuses: anyStatus},
	{kind: "goss", said: regexp.MustCompile(`^Running GOSS [a-z ]+ command: `), statuses: anyStatus,
		setting: "inspect"},
	{kind: "apt", statuses: anyStatus},
}

// ofShell matches the commands of a shell block that are not the user's: their failure ends the block.
var ofShell = regexp.MustCompile(`^(chmod [0-7]+|rm -f) `)

// byCommand stands for no_exit_on_failure of salt-masterless, which can be seen in the command itself.
const byCommand = "(in the command)"

// FailureSettings returns the settings with which a provisioner of the template goes on after commands that fail, by
// the types of their blocks.
func FailureSettings() map[string]string {
	return map[string]string{
		"puppet-masterless": "ignore_exit_codes", "puppet-server": "ignore_exit_codes",
		"itamae-local": "ignore_exit_codes", "goss": "inspect",
	}
}

// SetTemplateSettings tells the recorder which types of blocks set their setting of [FailureSettings] to true, in every
// block of that type that runs, and which exit statuses besides 0 every shell block accepts.
func (r *Recorder) SetTemplateSettings(types []string, exitCodes []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shellAccepts = strings.Trim(fmt.Sprint(exitCodes), "[]")
	r.lenient = map[string]bool{}
	for _, blockType := range types {
		r.lenient[kindOf(blockType)] = true
	}
}

// kindOf returns the kind that blocks of a type have in their first line.
func kindOf(blockType string) string {
	for _, kind := range []string{"puppet", "itamae"} {
		if strings.HasPrefix(blockType, kind+"-") {
			return kind
		}
	}
	return blockType
}

// accepted returns the exit statuses besides 0 after which the block goes on, or "". The caller holds the lock.
func (r *Recorder) accepted(b *block, command string) string {
	if b.kind == kindShell && !ofShell.MatchString(command) {
		return r.shellAccepts
	}
	for _, a := range acceptances {
		if a.kind != b.kind || a.said != nil && !a.said.MatchString(b.said) ||
			a.command != nil && !a.command.MatchString(command) {
			continue
		}
		switch {
		case a.setting == "", a.setting != byCommand && r.lenient[b.kind],
			a.setting == byCommand && !strings.Contains(command, "--retcode-passthrough"):
			return a.statuses
		}
	}
	return ""
}
