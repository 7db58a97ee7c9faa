// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// Program is a program that a Runner needs, and the Debian package that contains it.
type Program struct{ Name, Package string }

// CheckPrograms returns an error that names the programs which are not in PATH, and the packages to install. The
// purpose begins the message: run machines.
func CheckPrograms(purpose string, needed []Program) error {
	var names, packages []string
	for _, p := range needed {
		if _, err := exec.LookPath(p.Name); err != nil {
			names, packages = append(names, p.Name), append(packages, p.Package)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(packages)
	return fmt.Errorf("%s: not found in PATH: %s; install them with: apt-get install %s",
		purpose, strings.Join(names, ", "), strings.Join(slices.Compact(packages), " "))
}

var validID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$`)

// CheckID returns an error for an id that cannot be a host name and a file name.
func CheckID(id string) error {
	if validID.MatchString(id) {
		return nil
	}
	return fmt.Errorf("start machine %q: its id becomes a host name and a file name: lower-case letters, digits and "+
		"dashes, at most 50", id)
}
