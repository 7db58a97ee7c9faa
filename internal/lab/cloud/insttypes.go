// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"slices"
	"strings"
)

// Type is an instance type, with the attributes that clients read.
type Type struct {
	Name         string
	Architecture string
	VCPUs        int
	MemoryMiB    int
	Burstable    bool
}

// Nitro reports whether it runs on Nitro, the hypervisor of newer types, and not on Xen.
func (t Type) Nitro() bool {
	return !strings.HasPrefix(t.Name, "t2.") && !strings.HasPrefix(t.Name, "m1.")
}

// Hypervisor returns EC2's name of the hypervisor.
func (t Type) Hypervisor() string {
	if t.Nitro() {
		return "nitro"
	}
	return "xen"
}

// types are those that bakes are likely to use.
var types = []Type{
	{"c5.large", "x86_64", 2, 4096, false}, {"c6i.large", "x86_64", 2, 4096, false},
	{"c7i.large", "x86_64", 2, 4096, false},
	{"m1.small", "x86_64", 1, 1740, false}, {"m5.large", "x86_64", 2, 8192, false},
	{"m5.xlarge", "x86_64", 4, 16384, false},
	{"m6i.large", "x86_64", 2, 8192, false}, {"m7i.large", "x86_64", 2, 8192, false},
	{"t2.micro", "x86_64", 1, 1024, true}, {"t2.small", "x86_64", 1, 2048, true},
	{"t2.medium", "x86_64", 2, 4096, true},
	{"t3.nano", "x86_64", 2, 512, true}, {"t3.micro", "x86_64", 2, 1024, true}, {"t3.small", "x86_64", 2, 2048, true},
	{"t3.medium", "x86_64", 2, 4096, true}, {"t3.large", "x86_64", 2, 8192, true},
	{"t3.xlarge", "x86_64", 4, 16384, true},
	{"t3a.nano", "x86_64", 2, 512, true}, {"t3a.micro", "x86_64", 2, 1024, true},
	{"t3a.small", "x86_64", 2, 2048, true},
	{"t4g.nano", "arm64", 2, 512, true}, {"t4g.micro", "arm64", 2, 1024, true}, {"t4g.small", "arm64", 2, 2048, true},
	{"m6g.large", "arm64", 2, 8192, false}, {"c7g.large", "arm64", 2, 4096, false},
}

// Types returns all instance types of the lab, by name.
func Types() []Type {
	all := slices.Clone(types)
	slices.SortFunc(all, func(a, b Type) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// InstanceType returns the type of a name.
func InstanceType(name string) (Type, bool) {
	at := slices.IndexFunc(types, func(t Type) bool { return strings.EqualFold(t.Name, name) })
	if at < 0 {
		return Type{}, false
	}
	return types[at], true
}
