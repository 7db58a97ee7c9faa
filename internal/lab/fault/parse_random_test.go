// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package fault

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestParseOfRandomTexts builds texts from the words that faults are made of, which a fuzzer would not find by itself.
func TestParseOfRandomTexts(t *testing.T) {
	words := []string{
		"RunInstances", "*", "=", ":", "throttle", "500", "reset", "slow=5s", "slow=", "slow=-1s", "hang=1h", "cut=",
		"cut=-5", "unknown=1ns", "before",
		"after", "nth=", "nth=1", "nth=-1", "region=", "region=eu-west-1", "1", "0", "-1", "99999999999999999999",
		"ImageId=x", "é", "\x00", "A=", " ", "",
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
		f, err := Parse(text.String())
		if err != nil {
			continue
		}
		read++
		if f.Action == "" || f.Effect == nil || f.Count < 0 || f.Nth < 0 || negative(f.Effect) {
			t.Fatalf("%q is read as %+v", text.String(), f)
		}
	}
	if read < 100 {
		t.Errorf("only %d of the texts are faults", read)
	}
}

func negative(e Effect) bool {
	switch e := e.(type) {
	case Slow:
		return e.Delay < 0
	case Hang:
		return e.Duration < 0
	case HideNew:
		return e.Age < 0
	case ConsoleLag:
		return e.Delay < 0
	case Cut:
		return e.Bytes < 0
	case ConsoleTail:
		return e.Bytes < 0
	}
	return false
}
