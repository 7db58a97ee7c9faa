// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machinelog

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// Show shows the lines that have arrived, and the reports in fresh, in the order in which the machine made them as far
// as that is known. A report that stands in the log is shown at its place there, unless it came faster by the console.
// At the end, nothing waits any more for lines that are missing.
func (l *Log) Show(fresh []guest.Report, end bool) {
	now := time.Now()
	for _, line := range l.streams[guest.FromCloudInit].next(now, end) {
		l.showLine("cloud-init", line)
	}
	for _, line := range l.streams[guest.FromSteps].next(now, end) {
		text, r, isReport := guest.ReadReport(line.text, l.bake.ID)
		if line.missing > 0 || text != "" || !isReport {
			l.addRecent(line.missing, text)
			l.showLine(fmt.Sprint(l.step), orderedLine{text, line.missing})
		}
		if !isReport {
			continue
		}
		l.enterStep(r)
		if i := slices.IndexFunc(fresh, func(f guest.Report) bool { return f.Seq == r.Seq }); i >= 0 {
			l.showReport(fresh[i])
			fresh = slices.Delete(fresh, i, i+1)
		}
	}
	for _, r := range fresh {
		l.showReport(r)
	}
}

// enterStep sets which step the lines behind a report are from.
func (l *Log) enterStep(r guest.Report) {
	if r.Kind == guest.Start && r.Step != l.step {
		l.step, l.recent = r.Step, nil
	}
}

// addRecent keeps the newest lines of a step, for when it fails.
func (l *Log) addRecent(missing int, text string) {
	if missing > 0 {
		l.recent = nil
		return
	}
	l.recent = append(l.recent, text)
	if len(l.recent) > 2*tailLines {
		l.recent = slices.Clone(l.recent[tailLines:])
	}
}

// showLine shows a line that the machine printed. Its source and a bar stand before it, so that nobody takes it for the
// plugin's own words: "[ 12 s] 3| Setting up nginx".
func (l *Log) showLine(source string, line orderedLine) {
	text := guest.Show(line.text)
	if line.missing > 0 {
		l.record.missing += line.missing
		text = fmt.Sprintf("[%d lines not shown%s]", line.missing, l.whereMissing())
	}
	shown := fmt.Sprintf("[%3d s] %s| %s", l.seconds(), source, text)
	l.record.Add(shown)
	if source != "cloud-init" || line.missing > 0 || !l.noise.isNoise(text) {
		l.bake.Say("%s", shown)
	}
}

// whereMissing says where the lines are that are not shown.
func (l *Log) whereMissing() string {
	if l.staged == nil {
		return ": the console takes no more, staging would"
	}
	return ", all are in the log"
}

// showReport shows a report in words.
func (l *Log) showReport(r guest.Report) {
	if line := describeReport(l.reports, r); line != "" {
		line = fmt.Sprintf("[%3d s] %s", l.seconds(), line)
		l.record.Add(line)
		l.bake.Say("%s", line)
	}
}

// seconds is how long ago the machine was launched.
func (l *Log) seconds() int { return int(time.Since(l.launched).Seconds()) }

// describeReport returns a report in words, or "" for one that adds nothing.
func describeReport(all []guest.Report, r guest.Report) string {
	switch r.Kind {
	case guest.Begin:
		return fmt.Sprintf("the machine is up, with %d steps to do", r.Total)
	case guest.Boot:
		return "the machine has rebooted and carries on"
	case guest.Start:
		return fmt.Sprintf("%s %s", stepNumber(all, r.Step), r.Name)
	case guest.End:
		if r.Code != 0 {
			return fmt.Sprintf("%s %s ended with exit status %d", stepNumber(all, r.Step), r.Name, r.Code)
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

// stepNumber returns the number of a step, "2/5" once it is known how many there are.
func stepNumber(all []guest.Report, step int) string {
	for _, r := range all {
		if r.Kind == guest.Begin {
			return fmt.Sprintf("%d/%d", step, r.Total)
		}
	}
	return fmt.Sprintf("%d", step)
}

// bootNoise recognizes what cloud-init prints at every boot and nobody needs: tables of network addresses, and host
// keys.
type bootNoise struct{ inKey bool }

func (n *bootNoise) isNoise(line string) bool {
	switch {
	case strings.HasPrefix(line, "ci-info: "):
		return true
	case strings.HasPrefix(line, "Generating public/private "):
		n.inKey = true
	case n.inKey && strings.HasPrefix(line, "+----[SHA"):
		n.inKey = false
		return true
	}
	return n.inKey
}
