// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package machinelog is what a machine says while it bakes: the lines that its steps print and its reports, read from
// its console and from the log that it puts into S3, shown to the user in order, and kept for log_file.
//
// It knows the guest program's forms (package guest) and S3 (package staging). It may not know how a machine is
// launched, nor what its verdict means for a bake.
package machinelog

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

// tailLines is how many of its last lines a failed step is shown with.
const tailLines = 40

// Log is what one machine has said, as far as it was received.
type Log struct {
	bake     *bake.Bake
	record   *Record // what was shown, for log_file
	staged   *Staged // nil without staging
	launched time.Time

	unsealer *guest.Unsealer
	streams  [2]stream // by guest.Source
	noise    bootNoise
	step     int      // whose lines the newest ones are
	recent   []string // the newest of them
	final    []string // the last lines of a failed step, as the machine sent them once more

	reports []guest.Report // all that were ever received, sorted; the console keeps its last 64 KB only
	console []byte         // the newest text
	unread  error          // why the staged log could not be read the last time
	version string         // of the staged log that was read last
}

// New returns the log of a machine that is about to be launched. key is what its lines are encrypted with on the
// console; staged is nil where the machine puts no log into S3.
func New(b *bake.Bake, key guest.Key, record *Record, staged *Staged) *Log {
	return &Log{bake: b, record: record, staged: staged, unsealer: guest.NewUnsealer(b.ID, key), launched: time.Now()}
}

// SetLaunched sets the moment from which the time of every line is counted.
func (l *Log) SetLaunched(at time.Time) { l.launched = at }

// Reports returns all reports received so far, in order.
func (l *Log) Reports() []guest.Report { return l.reports }

// HasStaged reports whether the machine puts its log into S3.
func (l *Log) HasStaged() bool { return l.staged != nil }

// Unread returns why the log in S3 could not be read the last time, or nil.
func (l *Log) Unread() error { return l.unread }

// ReadConsole takes in the newest text of the console, and returns the reports in it that are new.
func (l *Log) ReadConsole(text []byte) []guest.Report {
	l.console = text
	return l.ReadOldConsole(text)
}

// ReadOldConsole is ReadConsole for what EC2 has kept of the console, which may be older than what was read before.
func (l *Log) ReadOldConsole(text []byte) []guest.Report {
	l.add(l.unsealer.Read(text))
	return l.addReports(guest.ReadReports(text, l.bake.ID))
}

// ReadStaged reads the log in S3 and returns the reports in it that are new. While the machine works, it is read only
// where that is how lines come; at the end, always.
func (l *Log) ReadStaged(ctx context.Context, end bool) []guest.Report {
	if l.staged == nil || !end && !l.staged.Live {
		return nil
	}
	lines, reports, version, err := l.staged.readNewer(ctx, l.bake.ID, l.version)
	l.unread, l.version = err, version
	l.add(lines)
	return l.addReports(reports)
}

func (l *Log) add(all []guest.Lines) {
	for _, lines := range all {
		if lines.Source == guest.FromEnd {
			l.final = lines.Text
			continue
		}
		l.streams[lines.Source].add(lines)
	}
}

// addReports adds the reports that were not received before, and returns them.
func (l *Log) addReports(reports []guest.Report) []guest.Report {
	seen := make(map[int]bool, len(l.reports))
	for _, r := range l.reports {
		seen[r.Seq] = true
	}
	var fresh []guest.Report
	for _, r := range reports {
		if !seen[r.Seq] {
			if guest.MayBeCut(r) {
				r.Text = redact.CutEnd(r.Text)
			}
			fresh = append(fresh, r)
		}
	}
	l.reports = append(l.reports, fresh...)
	slices.SortFunc(l.reports, func(x, y guest.Report) int { return cmp.Compare(x.Seq, y.Seq) })
	return fresh
}

// Tail returns the last lines of the step that failed.
func (l *Log) Tail() []string {
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

// LastOutput says how far the machine came, with its last lines and the end of its console, for errors about a machine
// that gave no verdict.
func (l *Log) LastOutput() string {
	const lines = 10 // enough for a kernel panic's last frames, or cloud-init's complaint
	words := guest.LastStep(l.reports)
	if printed := l.Tail(); len(printed) > 0 {
		words += "; the last lines it printed were:\n    " + strings.Join(printed, "\n    ") + "\n"
	}
	tail := consoleTail(l.console, lines)
	if len(tail) == 0 {
		return words + "; its console is empty"
	}
	return words + "; its console ends with:\n    " + strings.Join(tail, "\n    ")
}

// consoleTail returns the last lines of a console that are not empty, without what would move a terminal's cursor.
func consoleTail(console []byte, lines int) []string {
	isLineEnd := func(r rune) bool { return r == '\n' || r == '\r' }
	var tail []string
	for line := range strings.FieldsFuncSeq(string(console), isLineEnd) {
		if line = strings.TrimSpace(guest.Plain(line)); line != "" && !strings.HasPrefix(line, "@bakery") {
			tail = append(tail, line)
		}
	}
	return tail[max(0, len(tail)-lines):]
}
