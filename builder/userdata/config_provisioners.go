// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/recorder"
	"github.com/amibakery/packer-plugin-bakery/internal/template"
)

// sshInterfaceSessionManager is the ssh_interface with which amazon-ebs connects to a port of this computer.
const sshInterfaceSessionManager = "session_manager"

// machineVariables are the build variables of a machine that can be connected to, by the names of their placeholders.
var machineVariables = map[string]string{
	"ID": recorder.FactID, "Host": recorder.FactHost, "Port": "PORT", "Password": "PASSWORD",
	"SSHPublicKey": "SSH_PUBLIC_KEY", "SSHPrivateKey": "SSH_PRIVATE_KEY", "SSHPrivateKeyFile": "SSH_PRIVATE_KEY_FILE",
	"WinRMPassword": "WINRM_PASSWORD",
}

// withoutValue says why a build variable has no value here.
var withoutValue = map[string]string{
	"Port":          "nothing connects to the machine, so there is no port",
	"Password":      "nothing connects to the machine, so there is no password",
	"WinRMPassword": "nothing connects to the machine, so there is no password",
	"SSHPublicKey":  "nothing connects to the machine, so there is no key pair",
	"SSHPrivateKey": "nothing connects to the machine, so there is no key pair",
	// Packer's HCL has no such attribute, whatever ssh_private_key_file is.
	"SSHPrivateKeyFile": "nothing connects to the machine, so there is no key file",
	// Packer has this text in place of its own HTTP server; only some builders start it.
	"PackerHTTPAddr": "this builder serves no files over HTTP; upload them with a file block",
	"PackerHTTPIP":   "this builder serves no files over HTTP; upload them with a file block",
	"PackerHTTPPort": "this builder serves no files over HTTP; upload them with a file block",
}

// knownVariables returns the build variables of the connection that the template itself sets.
func (c *Config) knownVariables() map[string]any {
	known := map[string]any{"User": c.loginUser()}
	if c.Comm.SSHHost != "" {
		known["Host"] = c.Comm.SSHHost
	} else if c.SSHInterface == sshInterfaceSessionManager {
		known["Host"] = "localhost" // as with amazon-ebs
	}
	if c.Comm.SSHPort != 0 {
		known["Port"] = c.Comm.SSHPort
	}
	if c.Comm.SSHPassword != "" {
		known["Password"] = c.Comm.SSHPassword
	}
	return known
}

// checkProvisioners refuses what no machine will do, in the template's provisioners for this source: build variables
// that have no value, and downloads. It warns of blocks that do not run, or not as with amazon-ebs.
func (c *Config) checkProvisioners() ([]string, []error) {
	var unreachable []template.Provisioner
	c.provisioners, unreachable = template.Provisioners(template.Path(template.ParentArgs()), template.Source{
		Type: c.PackerBuilderType, Name: c.PackerBuildName,
	})
	var warnings []string
	for _, p := range unreachable {
		warnings = append(warnings, fmt.Sprintf("%s:%d: %s does not run: its only names %s, and this build has no "+
			"such source; write %s.%s for this one", p.File, p.Line, p.Type, strings.Join(p.Unknown, ", "),
			c.PackerBuilderType, c.PackerBuildName))
	}
	return append(warnings, c.warnOfProvisioners()...), append(c.checkVariables(), c.checkDownloads()...)
}

// warnOfProvisioners returns the warnings about blocks that run otherwise than with amazon-ebs.
func (c *Config) warnOfProvisioners() (warnings []string) {
	common := template.CommonExitCodes(c.provisioners, provisionerShell)
	for _, p := range c.provisioners {
		at := fmt.Sprintf("%s:%d: %s: ", p.File, p.Line, p.Type)
		if len(p.Unknown) > 0 {
			warnings = append(warnings, fmt.Sprintf("%sthis build has no source %s, which its only or except names",
				at, strings.Join(p.Unknown, ", ")))
		}
		if p.Cleanup && p.Type != provisionerShellLocal {
			warnings = append(warnings, at+"as error-cleanup-provisioner, it fails: nothing connects to a machine; "+
				"use shell-local, or let the failing script clean up itself")
		}
		if p.Type != provisionerShell || p.Cleanup {
			continue
		}
		switch {
		case common == nil && acceptsMore(p.ExitCodes):
			warnings = append(warnings, fmt.Sprintf("%svalid_exit_codes = %s: the machine takes 0 only, because not "+
				"all shell blocks have the same; let the command itself end with 0: %s",
				at, strings.Join(strings.Fields(fmt.Sprint(p.ExitCodes)), ", "), recorder.ExitCodeWayOut))
		case p.HasCodes && len(p.ExitCodes) == 0:
			warnings = append(warnings, at+"valid_exit_codes: the machine takes 0 only, because a builder is not told "+
				"this setting, and only numbers that are written out in the block can be read; write them out, or let "+
				"the command itself end with 0: "+recorder.ExitCodeWayOut)
		}
	}
	return warnings
}

// The types of provisioners that are handled differently.
const (
	provisionerShell      = "shell"
	provisionerShellLocal = "shell-local"
	provisionerFile       = "file"
)

// acceptsMore reports whether exit codes have 0 and others. Those without 0 are refused when they are recorded.
func acceptsMore(codes []int) bool { return len(codes) > 1 && slices.Contains(codes, 0) }

// acceptedExitCodes returns the exit statuses besides 0 that every shell block of the template accepts.
func (c *Config) acceptedExitCodes() []int {
	codes := template.CommonExitCodes(c.provisioners, provisionerShell)
	if !acceptsMore(codes) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(codes), func(code int) bool { return code == 0 })
}

// checkDownloads refuses downloads from the machine. Packer empties the local file before it asks for one.
func (c *Config) checkDownloads() (errs []error) {
	for _, p := range c.provisioners {
		if p.Type == provisionerFile && p.Downloads {
			errs = append(errs, fmt.Errorf(`%s:%d: file with direction = "download": nothing connects to the machine, `+
				"so nothing can be downloaded from it. Let it copy the file to S3 itself, or keep the block for "+
				"another source with only = [...]", p.File, p.Line))
		}
	}
	return errs
}

func (c *Config) checkVariables() []error {
	known := c.knownVariables()
	var errs []error
	for _, p := range c.provisioners {
		for _, use := range p.Uses {
			if _, isKnown := known[use.Name]; isKnown {
				continue
			}
			reason, remedy := whyWithoutValue(p, use)
			if reason != "" {
				errs = append(errs, fmt.Errorf("%s:%d:%d: build.%s has no value: %s. %s",
					use.File, use.Line, use.Column, use.Name, reason, remedy))
			}
		}
	}
	return errs
}

// whyWithoutValue returns why a build variable that the template does not set has no value in a block, and what to do,
// or "" when it has one.
func whyWithoutValue(p template.Provisioner, use template.Variable) (reason, remedy string) {
	reason, remedy = withoutValue[use.Name], "Remove it, or keep the block for another source with only = [...]"
	isLocal := p.Type == provisionerShellLocal && !p.Cleanup
	switch {
	case p.Processor && use.Name == "Host":
		reason = "the machine is gone when post-processors run"
	case p.Processor || use.Name != "ID" && use.Name != "Host":
	case isLocal && use.Name == "ID":
		reason = "shell-local runs on this computer, before the machine is launched"
		remedy = "Use a shell block, in which the machine puts it in, or the post-processor shell-local"
	case isLocal:
		reason = "shell-local runs on this computer, before the machine is launched"
		remedy = "Use a shell block, in which the machine puts it in"
	case use.Changed != "" && !p.Cleanup:
		reason = "the machine puts it in, so " + use.Changed + " would change the text that stands for it"
		remedy = "Give the variable as it is to a script, and let the script change it"
	}
	return reason, remedy
}
