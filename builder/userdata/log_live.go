// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// tailLines is how many of its last lines a step that failed is shown with.
const tailLines = 40

// liveLog is what a machine printed, as far as it is known.
type liveLog struct {
	unsealer *guest.Unsealer
	streams  [2]stream // by their source
	noise    bootNoise
	step     int      // whose lines the newest ones are
	recent   []string // the newest of them
	final    []string // the last ones of a step that failed, told by the machine
	version  string   // of the log in S3 that was read last
	unread   error    // why it could not be read the last time
	lost     int      // how many lines are not shown
}

// live is the log of the machine of this attempt.
func (b *bake) live() *liveLog {
	if b.machine.live == nil {
		b.machine.live = &liveLog{unsealer: guest.NewUnsealer(b.id, b.key)}
	}
	return b.machine.live
}

func (l *liveLog) add(all []guest.Lines) {
	for _, lines := range all {
		if lines.Source == guest.FromEnd {
			l.final = lines.Text
			continue
		}
		l.streams[lines.Source].add(lines)
	}
}

// listen reads what the machine has said since it was last asked, and tells it. In the end, nothing waits for what is
// missing.
func (b *bake) listen(ctx context.Context, end bool) {
	fresh := b.readConsole(ctx)
	if end || b.config.logWay() == guest.ByStore {
		// After the console: a verdict there means that the log is whole.
		fresh = append(fresh, b.machine.note(b.readStagedLog(ctx))...)
	}
	b.tellAll(fresh, end)
}

// tellAll tells lines and reports in the order they were made, as far as that is known: the reports in the log are told
// where they stand, unless they came faster by the console.
func (b *bake) tellAll(fresh []guest.Report, end bool) {
	l := b.live()
	now := time.Now()
	for _, t := range l.streams[guest.FromCloudInit].take(now, end) {
		b.tellLine("cloud-init", t)
	}
	for _, t := range l.streams[guest.FromSteps].take(now, end) {
		text, r, isReport := guest.ReadReport(t.text, b.id)
		if t.missing > 0 || text != "" || !isReport {
			l.keep(t.missing, text)
			b.tellLine(fmt.Sprint(l.step), told{text, t.missing})
		}
		if !isReport {
			continue
		}
		l.pass(r)
		if i := slices.IndexFunc(fresh, func(f guest.Report) bool { return f.Seq == r.Seq }); i >= 0 {
			b.tell(fresh[i])
			fresh = slices.Delete(fresh, i, i+1)
		}
	}
	for _, r := range fresh {
		b.tell(r)
	}
}

// pass notes which step the lines behind a report are from.
func (l *liveLog) pass(r guest.Report) {
	if r.Kind == guest.Start && r.Step != l.step {
		l.step, l.recent = r.Step, nil
	}
}

// keep keeps the newest lines of a step, for when it fails.
func (l *liveLog) keep(missing int, text string) {
	if missing > 0 {
		l.recent = nil
		return
	}
	l.recent = append(l.recent, text)
	if len(l.recent) > 2*tailLines {
		l.recent = slices.Clone(l.recent[tailLines:])
	}
}

// tail is the last lines of the step that failed.
func (l *liveLog) tail() []string {
	lines := l.final
	if lines == nil {
		lines = l.recent
	}
	var shown []string
	for _, line := range lines {
		if line = guest.Show(line); strings.TrimSpace(line) != "" {
			shown = append(shown, line)
		}
	}
	return shown[max(0, len(shown)-tailLines):]
}

// tellLine tells a line the machine printed. What it is from stands before it, and a bar, so that nobody takes it for the
// plugin's own words: "[ 12 s] 3| Setting up nginx".
func (b *bake) tellLine(from string, t told) {
	l := b.live()
	text := guest.Show(t.text)
	if t.missing > 0 {
		l.lost += t.missing
		text = fmt.Sprintf("[%d lines not shown%s]", t.missing, b.whereTheyAre())
	}
	line := fmt.Sprintf("[%3d s] %s| %s", b.sinceLaunch(), from, text)
	b.record(line)
	if from != "cloud-init" || t.missing > 0 || !l.noise.is(text) {
		b.say("%s", line)
	}
}

func (b *bake) whereTheyAre() string {
	if b.store == nil {
		return ": the console takes no more, staging would"
	}
	return ", all are in the log"
}

func (b *bake) sinceLaunch() int { return int(time.Since(b.machine.launched).Seconds()) }

// bootNoise knows what cloud-init prints at every boot, which tells nobody anything: tables of network addresses, and host keys.
type bootNoise struct{ key bool }

func (n *bootNoise) is(line string) bool {
	switch {
	case strings.HasPrefix(line, "ci-info: "):
		return true
	case strings.HasPrefix(line, "Generating public/private "):
		n.key = true
	case n.key && strings.HasPrefix(line, "+----[SHA"):
		n.key = false
		return true
	}
	return n.key
}
