// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

const intro = `bakery-lab is EC2, S3, SSM parameters, STS, IAM roles and instance metadata on this computer. An
instance is a real machine that boots systemd and cloud-init from a real disk in a few seconds. It needs
Linux and root: systemd-nspawn runs the machines. With --runner qemu they are virtual machines, which are
slower and need no root.

  sudo bakery-lab run -- packer build .          bake on the lab
  sudo bakery-lab run -- bash                    a shell in which aws, packer and bakery-lab use the lab
  bakery-lab images                              what has been baked
`

const outro = `
run sets AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION for COMMAND, so AWS
clients use the lab. (awscli before 2.13, which Debian 12 has, does not read AWS_ENDPOINT_URL: add
--endpoint-url "$AWS_ENDPOINT_URL".) It also sets BAKERY_LAB_AMI (Debian 12; with _BULLSEYE, _BOOKWORM and
_TRIXIE for each release), BAKERY_LAB_USER (the login user for SSH), BAKERY_LAB_SUBNET, BAKERY_LAB_VPC,
BAKERY_LAB_SECURITY_GROUP and BAKERY_LAB_BUCKET. A run inside a run uses the lab that is running.

AMIs and their disks are stored in BAKERY_LAB_HOME (default: bakery-lab in the user's cache directory), base
images in BAKERY_LAB_BASE (default: BAKERY_LAB_HOME). Instances, S3 objects and parameters end with the lab.

bakery-lab COMMAND --help lists a command's flags.
`

func help(w io.Writer) {
	_, _ = fmt.Fprint(w, intro)
	group := ""
	for _, c := range commands() {
		if c.inside {
			continue
		}
		if c.group != group {
			group = c.group
			_, _ = fmt.Fprintf(w, "\n%s\n", group)
		}
		_, _ = fmt.Fprintf(w, "  %s %s\n      %s\n", c.name, c.args, c.about)
	}
	_, _ = fmt.Fprint(w, outro)
}

// groupHelp describes the commands that begin with a word, as image build does, and reports whether there are any.
func groupHelp(w io.Writer, word string) (found bool) {
	for _, c := range commands() {
		if !strings.HasPrefix(c.name, word+" ") {
			continue
		}
		if !found {
			_, _ = fmt.Fprintf(w, "Usage: bakery-lab %s COMMAND\n\n", word)
		}
		found = true
		_, _ = fmt.Fprintf(w, "  %s %s\n      %s\n", c.name, c.args, c.about)
	}
	if found {
		_, _ = fmt.Fprintf(w, "\nbakery-lab %s COMMAND --help lists a command's flags.\n", word)
	}
	return found
}

func commandHelp(w io.Writer, name string, f *flag.FlagSet) {
	for _, c := range commands() {
		if c.name == name {
			_, _ = fmt.Fprintf(w, "Usage: bakery-lab %s %s\n\n%s%s.\n", c.name, c.args, strings.ToUpper(c.about[:1]),
				c.about[1:])
		}
	}
	first := true
	f.VisitAll(func(one *flag.Flag) {
		if first {
			_, _ = fmt.Fprintln(w, "\nFlags:")
			first = false
		}
		kind, about := flag.UnquoteUsage(one)
		_, _ = fmt.Fprintf(w, "  --%s %s\n      %s", one.Name, kind, about)
		if one.DefValue != "" && one.DefValue != "false" && one.DefValue != "0s" {
			_, _ = fmt.Fprintf(w, " (default %s)", one.DefValue)
		}
		_, _ = fmt.Fprintln(w)
	})
}
