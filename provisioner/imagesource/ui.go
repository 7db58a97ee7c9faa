// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"fmt"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/terminal"
)

// indent tells what a program printed from what is said of it.
const indent = "    "

// silent shows nothing of a command.
type silent struct{ packersdk.Ui }

func (silent) Say(string)     {}
func (silent) Message(string) {}
func (silent) Error(string)   {}

// reportUI shows what the machine prints and puts its reports into words. The guest program prints both into one
// stream, so they are in order.
type reportUI struct {
	packersdk.Ui

	id      string
	reports []guest.Report
	total   int
	step    string // what the machine was last heard to do
	last    string // the last line that was no report
}

// Say takes a line of standard output.
func (u *reportUI) Say(line string) {
	before, r, ok := guest.ReadReport(line, u.id)
	if !ok {
		u.print(line)
		return
	}
	if before != "" {
		u.print(before)
	}
	u.reports = append(u.reports, r)
	u.tell(r)
}

// Error takes a line of standard error, where only what runs before the guest program prints.
func (u *reportUI) Error(line string) {
	u.last = line
	u.Ui.Error(line)
}

func (u *reportUI) print(line string) {
	u.last = line
	u.Ui.Say(indent + line)
}

func (u *reportUI) tell(r guest.Report) {
	switch r.Kind {
	case guest.Begin:
		u.total = r.Total
	case guest.Start:
		u.step = fmt.Sprintf("step %d of %d, %s, ran", r.Step, u.total, r.Name)
		u.Ui.Say(fmt.Sprintf("Step %d of %d: %s", r.Step, u.total, r.Name))
	case guest.Warn:
		u.Ui.Say("Warning: " + r.Text)
	case guest.Verdict, guest.Reason, guest.Boot, guest.End, guest.Tail:
	}
}

// plainUI shows what compile.sh and the machine print without what a terminal obeys. Message, which is Say of old, is not
// used here.
type plainUI struct{ packersdk.Ui }

// Say shows a line.
func (u plainUI) Say(text string) { u.Ui.Say(terminal.Plain(text)) }

// Error shows a line that tells of an error.
func (u plainUI) Error(text string) { u.Ui.Error(terminal.Plain(text)) }
