// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// checkCommunicator accepts what a template says about SSH, so that one written for amazon-ebs is accepted, and says
// once that it has no effect.
func (c *Config) checkCommunicator() ([]string, []error) {
	switch c.Comm.Type {
	case "", "none", "ssh":
	case "winrm":
		return nil, []error{errors.New("communicator is \"winrm\", but this builder bakes Linux through cloud-init: " +
			"keep amazon-ebs for Windows, in a separate source")}
	default:
		if !setting.Unknown(c.Comm.Type) {
			return nil, []error{fmt.Errorf("communicator is %q; leave it out, this builder connects to nothing",
				c.Comm.Type)}
		}
	}
	ignored := slices.DeleteFunc(setting.NonZeroNames(reflect.ValueOf(c.Comm)), func(name string) bool {
		return name == "ssh_username" || name == "communicator" && c.Comm.Type == "none"
	})
	warnings := c.warnOfNone()
	c.Comm.Type = "none"
	ignored = append(ignored, setting.NonZeroNames(reflect.ValueOf(c.IgnoredConfig))...)
	if len(ignored) == 0 {
		return warnings, nil
	}
	return append(warnings, c.warnOfIgnored(ignored)), nil
}

// warnOfNone warns where a template says that nothing connects to its machine: then its provisioners, such as
// shell-local, may work on the running machine in another way.
func (c *Config) warnOfNone() []string {
	if c.Comm.Type != "none" {
		return nil
	}
	return []string{"this builder connects to nothing, without communicator = \"none\" too: leave it out. " +
		"Provisioners run before the machine is launched. A shell-local that works on the running machine, by " +
		"Session Manager for example, finds none: use shell and file blocks, which the machine runs"}
}
