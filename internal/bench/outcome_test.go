// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
)

// exampleOutcome returns the outcome of a bake that began at 0 s, launched at 1 s, and lost one second at each step.
func exampleOutcome(name string) outcome {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	return outcome{
		name: name, begin: at(0), end: at(154),
		seen: timeline{"stopped": at(71), "available": at(132), "terminated": at(153)},
		calls: []call{
			{Time: at(1), Action: "RunInstances"}, {Time: at(50), Action: "DescribeInstances"},
			{Time: at(72), Action: "CreateImage"}, {Time: at(133), Action: "TerminateInstances"},
		},
	}
}

func TestPrintOutcomesSubtractsTheDelays(t *testing.T) {
	var out bytes.Buffer
	if err := printOutcomes(&out, []outcome{exampleOutcome("one"), exampleOutcome("two")}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"total 154.00 s 154.00 s", "the delays themselves 150.00 s 150.00 s", "total minus the delays 4.00 s 4.00 s",
		"from stopped to CreateImage 1.00 s 1.00 s", "from available to the end 22.00 s 22.00 s",
		"calls 4 4", "calls that do not poll 3 3",
	} {
		if got := regexp.MustCompile(` +`).ReplaceAllString(out.String(), " "); !strings.Contains(got, " "+want+"\n") {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestPrintOutcomesFailsWhenAStateWasNotSeen(t *testing.T) {
	o := exampleOutcome("one")
	delete(o.seen, "available")
	if err := printOutcomes(new(bytes.Buffer), []outcome{o}); err == nil ||
		!strings.Contains(err.Error(), "available") {
		t.Errorf("got %v", err)
	}
}
