// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"regexp"
	"slices"
)

// Type is an instance type, with the attributes that clients read.
type Type struct {
	Name         string
	Architecture string
	VCPUs        int
	MemoryMiB    int
	Burstable    bool
}

// onXen matches the families that do not run on Nitro, the hypervisor of newer types:
// https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-nitro-instances.html.
var onXen = regexp.MustCompile(`^(t[12]|m[1-4]|c[134]|r[34]|x1e?|i[23]|d2|h1|g[23]s?|p[23]|f1)\.`)

// Nitro reports whether it runs on Nitro, and not on Xen.
func (t Type) Nitro() bool { return !onXen.MatchString(t.Name) }

// Hypervisor returns EC2's name of the hypervisor.
func (t Type) Hypervisor() string {
	if t.Nitro() {
		return "nitro"
	}
	return "xen"
}

// types are those that bakes are likely to use.
var types = []Type{
	{"c4.large", "x86_64", 2, 3840, false}, {"c5.large", "x86_64", 2, 4096, false},
	{"c6i.large", "x86_64", 2, 4096, false},
	{"c7i.large", "x86_64", 2, 4096, false},
	{"m1.small", "x86_64", 1, 1740, false}, {"m3.medium", "x86_64", 1, 3840, false},
	{"m4.large", "x86_64", 2, 8192, false}, {"m5.large", "x86_64", 2, 8192, false},
	{"m5.xlarge", "x86_64", 4, 16384, false},
	{"m6i.large", "x86_64", 2, 8192, false}, {"m7i.large", "x86_64", 2, 8192, false},
	{"t2.nano", "x86_64", 1, 512, true}, {"t2.micro", "x86_64", 1, 1024, true}, {"t2.small", "x86_64", 1, 2048, true},
	{"t2.medium", "x86_64", 2, 4096, true}, {"t2.large", "x86_64", 2, 8192, true},
	{"t3.nano", "x86_64", 2, 512, true}, {"t3.micro", "x86_64", 2, 1024, true}, {"t3.small", "x86_64", 2, 2048, true},
	{"t3.medium", "x86_64", 2, 4096, true}, {"t3.large", "x86_64", 2, 8192, true},
	{"t3.xlarge", "x86_64", 4, 16384, true},
	{"t3a.nano", "x86_64", 2, 512, true}, {"t3a.micro", "x86_64", 2, 1024, true},
	{"t3a.small", "x86_64", 2, 2048, true},
	{"t4g.nano", "arm64", 2, 512, true}, {"t4g.micro", "arm64", 2, 1024, true}, {"t4g.small", "arm64", 2, 2048, true},
	{"m6g.large", "arm64", 2, 8192, false}, {"c7g.large", "arm64", 2, 4096, false},
}

func byName(a, b Type) int { return cmp.Compare(a.Name, b.Name) }

// Types returns all instance types of the lab, by name.
func Types() []Type { return slices.Clone(known) }

// InstanceType returns the type of a name.
func InstanceType(name string) (Type, bool) {
	at := slices.IndexFunc(known, func(t Type) bool { return t.Name == name })
	if at < 0 {
		return Type{}, false
	}
	return known[at], true
}
