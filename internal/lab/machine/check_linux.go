// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// tools are the programs needed to make base images and run machines, with the
// Debian package that has each.
var tools = []struct{ program, pkg string }{
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

// Check says everything that is missing here to make base images and run
// machines, with the Debian packages to install. internet asks for what
// Spec.Internet needs, too.
func Check(internet ...bool) error {
	var problems []error
	if os.Geteuid() != 0 {
		problems = append(problems, errors.New("run machines: it needs root (namespaces, loop devices); try sudo"))
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		problems = append(problems, fmt.Errorf("run machines: no loop devices (%w); load the loop module, or give this container /dev/loop-control", err))
	}
	if slices.Contains(internet, true) {
		if _, err := os.Stat("/dev/net/tun"); err != nil {
			problems = append(problems, fmt.Errorf("give machines the internet: no TAP devices (%w); load the tun module", err))
		}
	}
	return errors.Join(append(problems, missingTools(slices.Contains(internet, true)))...)
}

func missingTools(internet bool) error {
	var programs, packages []string
	look := func(program, pkg string) {
		if _, err := exec.LookPath(program); err != nil {
			programs = append(programs, program)
			packages = append(packages, pkg)
		}
	}
	for _, t := range tools {
		look(t.program, t.pkg)
	}
	if internet {
		look(slirp, slirp)
	}
	if len(programs) == 0 {
		return nil
	}
	slices.Sort(packages)
	return fmt.Errorf("run machines: not found in PATH: %s; install them with: apt-get install %s",
		strings.Join(programs, ", "), strings.Join(slices.Compact(packages), " "))
}
