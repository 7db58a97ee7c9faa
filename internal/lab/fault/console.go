// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package fault

import (
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// ConsoleLag makes GetConsoleOutput show the console as it was some time ago.
type ConsoleLag struct{ Delay time.Duration }

// ConsoleTail makes GetConsoleOutput show the last bytes only.
type ConsoleTail struct{ Bytes int64 }

// ConsoleDropLines makes GetConsoleOutput leave out lines that contain a text.
type ConsoleDropLines struct{ Text string }

// ConsoleEmpty makes GetConsoleOutput show nothing.
type ConsoleEmpty struct{}

// ConsoleNotPosted makes GetConsoleOutput of a machine that is off show what the console had when the machine began to
// run.
type ConsoleNotPosted struct{}

// Apply changes what is shown, as do the methods below.
func (l ConsoleLag) Apply(c *Call) error {
	return change(c, func(v *cloud.ConsoleView) { v.Lag = l.Delay })
}

// Apply implements Effect.
func (t ConsoleTail) Apply(c *Call) error {
	return change(c, func(v *cloud.ConsoleView) { v.Tail = int(t.Bytes) })
}

// Apply implements Effect.
func (d ConsoleDropLines) Apply(c *Call) error {
	return change(c, func(v *cloud.ConsoleView) { v.DropLines = d.Text })
}

// Apply implements Effect.
func (ConsoleEmpty) Apply(c *Call) error {
	return change(c, func(v *cloud.ConsoleView) { v.Empty = true })
}

// Apply implements Effect.
func (ConsoleNotPosted) Apply(c *Call) error {
	return change(c, func(v *cloud.ConsoleView) { v.NotPosted = true })
}

func change(c *Call, apply func(*cloud.ConsoleView)) error {
	if a, ok := c.Action.(interface{ ConsoleView() *cloud.ConsoleView }); ok {
		apply(a.ConsoleView())
	}
	return nil
}
