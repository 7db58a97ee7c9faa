// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// prepareCommunicator accepts what a template says about SSH, so that one written for amazon-ebs is accepted, and says
// once that it has no effect.
func (c *Config) prepareCommunicator() ([]string, []error) {
	switch c.Comm.Type {
	case "", "none", "ssh":
	case "winrm":
		return nil, []error{errors.New("communicator is \"winrm\", but this builder bakes Linux through cloud-init")}
	default:
		if !unknown(c.Comm.Type) {
			return nil, []error{fmt.Errorf("communicator is %q; leave it out, this builder connects to nothing", c.Comm.Type)}
		}
	}
	ignored := slices.DeleteFunc(settingNames(reflect.ValueOf(c.Comm)), func(name string) bool {
		return name == "ssh_username" || name == "communicator" && c.Comm.Type == "none"
	})
	c.Comm.Type = "none"
	ignored = append(ignored, settingNames(reflect.ValueOf(c.IgnoredConfig))...)
	if len(ignored) == 0 {
		return nil, nil
	}
	slices.Sort(ignored)
	return []string{"this builder connects to nothing and bakes Linux, so these settings have no effect: " +
		strings.Join(ignored, ", ") + ". The machine gets its provisioners in its user data, which run there as " +
		c.loginUser() + "; there is no key pair, and nothing may connect to it"}, nil
}

// settingNames are the names of the settings of a config struct that are not zero.
func settingNames(v reflect.Value) []string {
	var names []string
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("mapstructure"), ",")
		switch {
		case options == "squash":
			names = append(names, settingNames(v.Field(i))...)
		case name != "" && !v.Field(i).IsZero():
			names = append(names, name)
		}
	}
	return names
}
