// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// figure is one row of the comparison.
type figure struct {
	what string
	of   func(*outcome) time.Duration
}

var figures = []figure{
	{"total", func(o *outcome) time.Duration { return o.end.Sub(o.begin) }},
	{"the delays themselves", (*outcome).delays},
	{"total minus the delays", func(o *outcome) time.Duration { return o.end.Sub(o.begin) - o.delays() }},
	{
		"  from the start to RunInstances",
		func(o *outcome) time.Duration { return o.called("RunInstances").Sub(o.begin) },
	},
	{"  from stopped to CreateImage", func(o *outcome) time.Duration {
		return o.called("CreateImage").Sub(o.seen[string(types.InstanceStateNameStopped)])
	}},
	{"  from available to TerminateInstances", func(o *outcome) time.Duration {
		return o.called("TerminateInstances").Sub(o.seen[string(types.ImageStateAvailable)])
	}},
	{"  from terminated to the end", func(o *outcome) time.Duration {
		return o.end.Sub(o.seen[string(types.InstanceStateNameTerminated)])
	}},
	{
		"from available to the end",
		func(o *outcome) time.Duration { return o.end.Sub(o.seen[string(types.ImageStateAvailable)]) },
	},
}

// delays returns the time that AWS and the machine need with every builder: from the launch until the machine has
// stopped, from CreateImage until the image is available, and from TerminateInstances until the machine is gone.
func (o *outcome) delays() time.Duration {
	return o.seen[string(types.InstanceStateNameStopped)].Sub(o.called("RunInstances")) +
		o.seen[string(types.ImageStateAvailable)].Sub(o.called("CreateImage")) +
		o.seen[string(types.InstanceStateNameTerminated)].Sub(o.called("TerminateInstances"))
}

// called returns the time when an action was first called.
func (o *outcome) called(action string) time.Time {
	for _, c := range o.calls {
		if c.Action == action {
			return c.Time
		}
	}
	return time.Time{}
}

// complete returns an error when a call or a state that is compared was not seen.
func (o *outcome) complete() error {
	var missing []string
	for _, action := range []string{"RunInstances", "CreateImage", "TerminateInstances"} {
		if o.called(action).IsZero() {
			missing = append(missing, action)
		}
	}
	for _, state := range []string{
		string(types.InstanceStateNameStopped), string(types.ImageStateAvailable),
		string(types.InstanceStateNameTerminated),
	} {
		if o.seen[state].IsZero() {
			missing = append(missing, state)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: not seen: %s", o.name, strings.Join(missing, ", "))
	}
	return nil
}

// pollingActions are the calls with which a bake polls the machine and the image. Their number depends on the interval.
var pollingActions = []string{"DescribeInstances", "GetConsoleOutput", "DescribeImages"}

// printOutcomes prints one table of times and one of calls, with a column for each contender.
func printOutcomes(out io.Writer, outcomes []outcome) error {
	for i := range outcomes {
		if err := outcomes[i].complete(); err != nil {
			return err
		}
	}
	row := func(what string, value func(*outcome) string) {
		fmt.Fprintf(out, "  %-42s", what)
		for i := range outcomes {
			fmt.Fprintf(out, " %16s", value(&outcomes[i]))
		}
		fmt.Fprintln(out)
	}
	row("", func(o *outcome) string { return o.name })
	for _, f := range figures {
		row(f.what, func(o *outcome) string { return inSeconds(f.of(o)) })
	}
	fmt.Fprintln(out)
	others := make(map[string]int, len(outcomes))
	for _, action := range actions(outcomes) {
		row(action, func(o *outcome) string {
			n := o.count(action)
			if !slices.Contains(pollingActions, action) {
				others[o.name] += n
			}
			return fmt.Sprint(n)
		})
	}
	row("calls", func(o *outcome) string { return fmt.Sprint(len(o.calls)) })
	row("calls that do not poll", func(o *outcome) string { return fmt.Sprint(others[o.name]) })

	return nil
}

// actions returns all actions that were called, sorted.
func actions(outcomes []outcome) []string {
	names := map[string]bool{}
	for i := range outcomes {
		for _, c := range outcomes[i].calls {
			names[c.Action] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (o *outcome) count(action string) int {
	n := 0
	for _, c := range o.calls {
		if c.Action == action {
			n++
		}
	}
	return n
}
