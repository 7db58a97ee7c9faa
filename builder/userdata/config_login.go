// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// LoginConfig says who runs the template's provisioners on the machine.
type LoginConfig struct {
	// The user of the machine who runs the template's provisioners: in its home directory, with its environment and
	// the sudo that the source image gives it, and its uploads belong to it. Default: `ssh_username`, as it was over
	// SSH, else `root`. The user must be in the source image, or be made before the first provisioner runs.
	RunAs string `mapstructure:"run_as"`
}

// superuser runs the provisioners of a template that names nobody.
const superuser = "root"

// loginUser is the user of the machine who runs the template's provisioners.
func (c *Config) loginUser() string {
	for _, name := range []string{c.RunAs, c.Comm.SSHUsername} {
		if name != "" {
			return name
		}
	}
	return superuser
}

func (c *Config) checkLogin() ([]string, []error) {
	name := "run_as"
	if c.RunAs == "" {
		name = "ssh_username"
	}
	if user := c.loginUser(); !setting.Unknown(user) && !guest.IsUserName(user) {
		return nil, []error{fmt.Errorf("%s: %q is no user name: give the name of a user of the machine, such as "+
			"\"admin\"",
			name, user)}
	}
	return nil, nil
}
