// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestFaultsOfAnyTextAreReadOrRefused stands in for a fuzz target: the fuzzer would compile the whole of EC2's client, which
// tests of this package use, with its own instructions, and that takes ten minutes and gigabytes.
func TestFaultsOfAnyTextAreReadOrRefused(t *testing.T) {
	words := []string{
		"RunInstances", "*", "=", ":", "throttle", "500", "reset", "slow=5s", "slow=", "slow=-1s", "hang=1h", "cut=", "cut=-5", "unknown=1ns", "before",
		"after", "nth=", "nth=1", "nth=-1", "region=", "region=eu-west-1", "1", "0", "-1", "99999999999999999999", "ImageId=x", "é", "\x00", "A=", " ", "",
	}
	r := rand.New(rand.NewPCG(1, 2))
	read := 0
	for range 50_000 {
		var text strings.Builder
		if r.IntN(2) == 0 {
			text.WriteString("RunInstances=")
		}
		for range r.IntN(9) {
			text.WriteString(words[r.IntN(len(words))])
			if r.IntN(2) == 0 {
				text.WriteString(":")
			}
		}
		f, err := ParseFault(text.String())
		if err != nil {
			continue
		}
		read++
		if f.Action == "" || f.Code == "" || f.Count < 0 || f.Nth < 0 || f.Delay < 0 || f.Bytes < 0 || f.When != before && f.When != after {
			t.Fatalf("%q is read as %+v", text.String(), f)
		}
	}
	if read < 100 {
		t.Errorf("only %d of the texts are faults", read)
	}
}
