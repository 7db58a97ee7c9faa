// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"fmt"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

// indent is put before the output of programs, so that it differs from the messages of the provisioner.
const indent = "    "

// silent is a Ui that shows nothing.
type silent struct{ packersdk.Ui }

func (silent) Say(string)     {}
func (silent) Message(string) {}
func (silent) Error(string)   {}

// maxReports bounds the memory for reports: two for each of ten thousand commands, and some more.
const maxReports = 1 << 16

// reportUI shows the output of the machine, and its reports as messages. The guest program prints both to one stream,
// so they are in order.
type reportUI struct {
	packersdk.Ui

	reader  guest.Reader
	reports []guest.Report
	total   int
	step    string // the last step that the machine reported
	last    string // the last line that was no report
}

// Say shows a line of standard output.
func (u *reportUI) Say(line string) {
	before, r, ok := u.reader.Report(line)
	if !ok {
		u.print(line)
		return
	}
	if before != "" {
		u.print(before)
	}
	if len(u.reports) < maxReports { // without a verdict, which the last one is, it has failed
		u.reports = append(u.reports, r)
	}
	u.show(r)
}

// Error shows a line of standard error, to which only the commands before the guest program print.
func (u *reportUI) Error(line string) {
	u.last = line
	u.Ui.Error(line)
}

func (u *reportUI) print(line string) {
	u.last = line
	u.Ui.Say(indent + line)
}

func (u *reportUI) show(r guest.Report) {
	switch r.Kind {
	case guest.Begin:
		u.total = r.Total
	case guest.Start:
		u.step = fmt.Sprintf("step %d of %d, %s, ran", r.Step, u.total, r.Name)
		u.Ui.Say(fmt.Sprintf("Step %d of %d: %s", r.Step, u.total, r.Name))
	case guest.Warn:
		u.Ui.Say("Warning: " + r.Text)
	case guest.Verdict, guest.Reason, guest.Boot, guest.End, guest.Tail, guest.Commit,
		guest.Clean:
	}
}

// redactedUI shows the output of compile.sh and of the machine without secrets and terminal sequences. It does not
// override Message, the deprecated form of Say, which is not used here.
type redactedUI struct{ packersdk.Ui }

// Say shows a line.
func (u redactedUI) Say(text string) { u.Ui.Say(redact.Text(text)) }

// Error shows an error.
func (u redactedUI) Error(text string) { u.Ui.Error(redact.Text(text)) }
