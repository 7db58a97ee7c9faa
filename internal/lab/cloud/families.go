// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"slices"
	"strconv"
)

// family is a family of instance types whose sizes have the same number of GiB for each vCPU.
type family struct {
	names        []string
	architecture string
	memory       int // GiB for each vCPU
}

var families = []family{
	{[]string{"m4", "m5", "m5a", "m5n", "m6a", "m6i", "m7a", "m7i"}, "x86_64", 4},
	{[]string{"r4", "r5", "r5a", "r6i", "r7i"}, "x86_64", 8},
	{[]string{"c5", "c5a", "c6a", "c6i", "c7a", "c7i"}, "x86_64", 2},
	{[]string{"m6g", "m7g", "m8g"}, "arm64", 4},
	{[]string{"r6g", "r7g"}, "arm64", 8},
	{[]string{"c6g", "c7g", "c8g"}, "arm64", 2},
}

// burstableSizes are the sizes of the families t2, t3, t3a and t4g.
var burstableSizes = []struct {
	name      string
	memoryMiB int
	vCPUs     int // of t2; the others have two at least
}{
	{"nano", 512, 1}, {"micro", 1024, 1}, {"small", 2048, 1}, {"medium", 4096, 2}, {"large", 8192, 2},
	{"xlarge", 16384, 4}, {"2xlarge", 32768, 8},
}

// known are all types of the lab, by name.
var known = allTypes()

// allTypes returns the types of the list and those of the families that the list does not have.
func allTypes() []Type {
	all := slices.Clone(types)
	add := func(t Type) {
		if !slices.ContainsFunc(all, func(have Type) bool { return have.Name == t.Name }) {
			all = append(all, t)
		}
	}
	for _, size := range burstableSizes {
		add(Type{"t2." + size.name, "x86_64", size.vCPUs, size.memoryMiB, true})
		add(Type{"t3." + size.name, "x86_64", max(2, size.vCPUs), size.memoryMiB, true})
		add(Type{"t3a." + size.name, "x86_64", max(2, size.vCPUs), size.memoryMiB, true})
		add(Type{"t4g." + size.name, "arm64", max(2, size.vCPUs), size.memoryMiB, true})
	}
	for _, f := range families {
		for _, name := range f.names {
			for _, vCPUs := range []int{2, 4, 8, 16, 32} {
				add(Type{name + "." + sizeOf(vCPUs), f.architecture, vCPUs, vCPUs * f.memory * 1024, false})
			}
		}
	}
	slices.SortFunc(all, byName)
	return all
}

// sizeOf returns the name of a size: large has 2 vCPUs, xlarge 4, 2xlarge 8.
func sizeOf(vCPUs int) string {
	switch vCPUs {
	case 2:
		return "large"
	case 4:
		return "xlarge"
	}
	return strconv.Itoa(vCPUs/4) + "xlarge"
}
