// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import "github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"

// standIns are public parameters of other distributions, each with the Debian release whose base image stands in for
// it: the one with a cloud-init of about the same age.
var standIns = map[string]string{
	"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64":         "bookworm",
	"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64":             "bookworm",
	"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.12-x86_64":            "bookworm",
	"/aws/service/ami-amazon-linux-latest/al2023-ami-minimal-kernel-default-x86_64": "bookworm",
	"/aws/service/ami-amazon-linux-latest/al2023-ami-minimal-kernel-6.1-x86_64":     "bookworm",
	"/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-ebs":                 "bullseye",
	"/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2":                 "bullseye",
	"/aws/service/ami-amazon-linux-latest/amzn2-ami-kernel-5.10-hvm-x86_64-ebs":     "bullseye",
	"/aws/service/ami-amazon-linux-latest/amzn2-ami-kernel-5.10-hvm-x86_64-gp2":     "bullseye",
	"/aws/service/ami-amazon-linux-latest/amzn2-ami-minimal-hvm-x86_64-ebs":         "bullseye",
}

// ubuntuReleases are the releases of Ubuntu that have public parameters, under their number and their name.
var ubuntuReleases = []struct{ number, name, volume, suite string }{
	{"20.04", "focal", "ebs-gp2", "bullseye"}, {"22.04", "jammy", "ebs-gp2", "bookworm"},
	{"24.04", "noble", "ebs-gp3", "trixie"},
}

// seedStandIns sets the public parameters of Amazon Linux, of Ubuntu and of Debian's daily images. The lab has images
// of Debian alone, which they hold. Parameters that base images have themselves are not changed.
func (l *Lab) seedStandIns() {
	for name, suite := range standIns {
		l.ssm.Seed(name, cloud.BaseImageID(suite))
	}
	for _, u := range ubuntuReleases {
		for _, release := range []string{u.number, u.name} {
			for _, path := range []string{"server/" + release, "server-minimal/" + release} {
				l.ssm.Seed("/aws/service/canonical/ubuntu/"+path+"/stable/current/amd64/hvm/"+u.volume+"/ami-id",
					cloud.BaseImageID(u.suite))
			}
		}
	}
	for _, suite := range []string{"bullseye", "bookworm", "trixie"} {
		l.ssm.Seed("/aws/service/debian/daily/"+suite+"/latest/amd64", cloud.BaseImageID(suite))
	}
}
