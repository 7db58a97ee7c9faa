// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"

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

// checkProvisioners refuses build variables that have no value, in the template's provisioners for this source.
func (c *Config) checkProvisioners() ([]string, []error) {
	c.provisioners = template.Provisioners(template.Path(template.ParentArgs()), template.Source{
		Type: c.PackerBuilderType, Name: c.PackerBuildName,
	})
	return nil, c.checkVariables()
}

func (c *Config) checkVariables() []error {
	known := c.knownVariables()
	var errs []error
	for _, p := range c.provisioners {
		for _, use := range p.Uses {
			if _, isKnown := known[use.Name]; isKnown {
				continue
			}
			reason := withoutValue[use.Name]
			isFact := use.Name == "ID" || use.Name == "Host"
			remedy := "Remove it, or keep the block for another source with only = [...]"
			if isFact && p.Type == "shell-local" && !p.Cleanup {
				reason = "shell-local runs on this computer, before the machine is launched"
				remedy = "Use a shell block, in which the machine puts it in, or the post-processor shell-local"
			}
			if reason != "" {
				errs = append(errs, fmt.Errorf("%s:%d:%d: build.%s has no value: %s. %s",
					use.File, use.Line, use.Column, use.Name, reason, remedy))
			}
		}
	}
	return errs
}
