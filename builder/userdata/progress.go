// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// tell shows a report of the machine to the user, with the seconds since the launch.
func (b *bake) tell(r guest.Report) {
	if line := progress(b.machine.reports, r); line != "" {
		line = fmt.Sprintf("[%3d s] %s", b.sinceLaunch(), line)
		b.record(line)
		b.say("%s", line)
	}
}

// progress is a report in words, or "" for one that adds nothing.
func progress(all []guest.Report, r guest.Report) string {
	switch r.Kind {
	case guest.Begin:
		return fmt.Sprintf("the machine is up, with %d steps to do", r.Total)
	case guest.Boot:
		return "the machine has rebooted and carries on"
	case guest.Start:
		return fmt.Sprintf("%s %s", stepOf(all, r.Step), r.Name)
	case guest.End:
		if r.Code != 0 {
			return fmt.Sprintf("%s %s ended with exit status %d", stepOf(all, r.Step), r.Name, r.Code)
		}
	case guest.Warn:
		return "warning: " + r.Text
	case guest.Tail:
		return "  | " + r.Text
	case guest.Reason:
		return r.Text
	case guest.Verdict:
		if r.OK {
			return "verdict: success"
		}
		return fmt.Sprintf("verdict: %s failed with exit status %d", r.Name, r.Code)
	}
	return ""
}

// stepOf is the number of a step, "2/5" when it is known how many there are.
func stepOf(all []guest.Report, step int) string {
	for _, r := range all {
		if r.Kind == guest.Begin {
			return fmt.Sprintf("%d/%d", step, r.Total)
		}
	}
	return fmt.Sprintf("%d", step)
}

func sortReports(reports []guest.Report) []guest.Report {
	slices.SortFunc(reports, func(x, y guest.Report) int { return cmp.Compare(x.Seq, y.Seq) })
	return reports
}

// lastWords is how far the machine came, and the end of its console, for errors about a machine that gave no verdict.
func (m *machine) lastWords() string {
	const lines = 10 // enough for a kernel panic's last frames, or cloud-init's complaint
	words := guest.LastStep(m.reports)
	if m.live != nil {
		if printed := m.live.tail(); len(printed) > 0 {
			words += "; the last lines it printed were:\n    " + strings.Join(printed, "\n    ") + "\n"
		}
	}
	tail := consoleTail(m.console, lines)
	if len(tail) == 0 {
		return words + "; its console is empty"
	}
	return words + "; its console ends with:\n    " + strings.Join(tail, "\n    ")
}

// consoleTail is the last lines of a console that hold anything, without what would move a terminal's cursor.
func consoleTail(console []byte, lines int) []string {
	var tail []string
	for line := range strings.FieldsFuncSeq(string(console), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = strings.TrimSpace(guest.Plain(line)); line != "" && !strings.HasPrefix(line, "@bakery") {
			tail = append(tail, line)
		}
	}
	return tail[max(0, len(tail)-lines):]
}
