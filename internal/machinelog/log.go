// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package machinelog is what a machine says while it bakes: the lines that its steps print and its reports, read from
// its console and from the log that it puts into S3, shown to the user in order, and kept for log_file.
//
// It knows the guest program's forms (package guest) and S3 (package staging). It may not know how a machine is
// launched, nor what its verdict means for a bake.
package machinelog

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

// maxReports bounds the memory for a machine's reports: two for each of ten thousand commands, and some more.
const maxReports = 1 << 16

// hashSeed is of this process, so that nobody can make two reports with one hash.
var hashSeed = maphash.MakeSeed()

// tailLines is how many of its last lines a failed step is shown with.
const tailLines = 40

// Log is what one machine has said, as far as it was received.
type Log struct {
	bake     *bake.Bake
	record   *Record // what was shown, for log_file
	staged   *Staged // nil without staging
	launched time.Time

	reader   guest.Reader
	unsealer *guest.Unsealer
	streams  [2]stream // by guest.Source
	noise    bootNoise
	step     int      // whose lines the newest ones are
	recent   []string // the newest of them
	final    []string // the last lines of a failed step, as the machine sent them once more

	reports []guest.Report  // all that were ever received, sorted; the console keeps its last 64 KB only
	seen    map[uint64]bool // their hashes
	places  map[place]bool  // where they stand in the log
	// committed is whether the machine's commitment in S3 is among the reports, uncommitted why it could not be read
	// the last time.
	committed   bool
	uncommitted error
	console     []byte // the newest text
	unread      error  // why the staged log could not be read the last time
	version     string // of the staged log that was read last
}

// New returns the log of a machine that is about to be launched. r finds its reports; key is what its lines are
// encrypted with on the console; staged is nil where the machine puts no log into S3.
func New(b *bake.Bake, r guest.Reader, key guest.Key, record *Record, staged *Staged) *Log {
	return &Log{
		bake: b, record: record, staged: staged, reader: r, unsealer: guest.NewUnsealer(r.BakeID, key),
		launched: time.Now(),
	}
}

// SetLaunched sets the moment from which the time of every line is counted.
func (l *Log) SetLaunched(at time.Time) { l.launched = at }

// Reports returns all reports received so far, in order.
func (l *Log) Reports() []guest.Report { return l.reports }

// Judge returns the outcome of the bake from all reports received so far, or false while there is none. With staging,
// there is no success before the machine's commitment was read from S3, which has taken it before anything else ran.
func (l *Log) Judge() (guest.Outcome, bool) {
	outcome, judged := guest.Judge(l.reports)
	if outcome.OK && !l.CanSucceed() {
		return guest.Outcome{}, false
	}
	return outcome, judged
}

// HasStaged reports whether the machine puts its log into S3.
func (l *Log) HasStaged() bool { return l.staged != nil }

// CanSucceed reports whether a verdict that is read from now on can be a success. With staging, it cannot before the
// machine's commitment was read from S3.
func (l *Log) CanSucceed() bool { return l.staged == nil || l.committed }

// Unread returns why what the machine has put into S3 could not be read the last time, or nil.
func (l *Log) Unread() error {
	var uncommitted error
	if l.HasSucceeded() && !l.CanSucceed() {
		at := l.staged.Store.URL(l.staged.Commitment)
		uncommitted = fmt.Errorf("it reported success, but its commitment is not at %s: somebody has removed or "+
			"replaced it, or these credentials may not read it (allow s3:GetObject: docs/iam)", at)
	}
	return errors.Join(uncommitted, l.uncommitted, l.unread)
}

// HasSucceeded reports whether the machine has reported success, proven or not.
func (l *Log) HasSucceeded() bool {
	outcome, judged := guest.Judge(l.reports)
	return judged && outcome.OK
}

// ReadConsole takes in the newest text of the console, and returns the reports in it that are new.
func (l *Log) ReadConsole(text []byte) []guest.Report {
	text = text[max(0, len(text)-consoleLimit):]
	l.console = text
	return l.ReadOldConsole(text)
}

// consoleLimit is how much of a console is read, in bytes: four times what EC2 keeps.
const consoleLimit = 1 << 18

// ReadOldConsole is ReadConsole for what EC2 has kept of the console, which may be older than what was read before.
func (l *Log) ReadOldConsole(text []byte) []guest.Report {
	text = text[max(0, len(text)-consoleLimit):]
	l.add(l.unsealer.Read(text))
	return l.addReports(l.reader.Reports(text))
}

// ReadStaged reads the log in S3 and returns the reports in it that are new. While the machine works, it is read only
// where that is how lines come; at the end, always.
func (l *Log) ReadStaged(ctx context.Context, end bool) []guest.Report {
	if l.staged == nil || !end && !l.staged.Live {
		return nil
	}
	lines, reports, version, err := l.staged.readNewer(ctx, l.reader, l.version)
	l.unread, l.version = err, version
	l.add(lines)
	return l.addReports(reports)
}

// ReadCommitment reads the machine's commitment in S3, until it was read once.
func (l *Log) ReadCommitment(ctx context.Context) {
	if l.staged == nil || l.committed {
		return
	}
	var reports []guest.Report
	reports, l.uncommitted = l.staged.readCommitment(ctx, l.reader)
	l.committed = len(reports) > 0
	l.addReports(reports)
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
	if l.seen == nil {
		l.seen, l.places = map[uint64]bool{}, map[place]bool{}
	}
	var fresh []guest.Report
	for _, r := range reports {
		if guest.MayBeCut(r) {
			r.Text = redact.CutEnd(r.Text)
		}
		hash := maphash.Comparable(hashSeed, r)
		if !l.seen[hash] && len(l.reports)+len(fresh) < maxReports {
			l.seen[hash], l.places[placeOf(r)] = true, true
			fresh = append(fresh, r)
		}
	}
	if len(fresh) > 0 {
		l.reports = append(l.reports, fresh...)
		guest.SortReports(l.reports)
	}
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
	if len(l.reports) == 0 && l.staged == nil {
		words += " (with staging { url = \"s3://bucket/prefix\" } they need no console)"
	}
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
