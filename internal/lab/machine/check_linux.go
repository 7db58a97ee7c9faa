// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// programs are needed to build base images and run machines.
var programs = []Program{
	{"systemd-nspawn", "systemd-container"},
	{"mmdebstrap", "mmdebstrap"},
	{"mke2fs", "e2fsprogs"},
	{"e2fsck", "e2fsprogs"},
	{"resize2fs", "e2fsprogs"},
	{"mount", "mount"},
	{"nsenter", "util-linux"},
	{"ip", "iproute2"},
}

const slirp = "slirp4netns" // program and package

// Check returns an error that names all that is missing to build base images and run machines, with the Debian packages
// to install. With internet, it includes what Spec.Internet needs.
func Check(internet ...bool) error {
	var problems []error
	if os.Geteuid() != 0 {
		problems = append(problems, errors.New("run machines: it needs root (namespaces, loop devices); try sudo"))
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		problems = append(problems,
			fmt.Errorf("run machines: no loop devices (%w); load the loop module, or give this container "+
				"/dev/loop-control", err))
	}
	needed := programs
	if slices.Contains(internet, true) {
		needed = append(slices.Clone(programs), Program{slirp, slirp})
		if _, err := os.Stat("/dev/net/tun"); err != nil {
			problems = append(problems,
				fmt.Errorf("give machines the internet: no TAP devices (%w); load the tun module", err))
		}
	}
	return errors.Join(append(problems, CheckPrograms("run machines", needed))...)
}
