// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machinelog

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// Show shows the lines that have arrived, and the reports in fresh, in the order in which the machine made them as far
// as that is known. A report that stands in the log is shown at its place there, unless it came faster by the console.
// At the end, nothing waits any more for lines that are missing. When ctx has ended, it soon shows no more.
func (l *Log) Show(ctx context.Context, fresh []guest.Report, end bool) {
	s := l.newShow(ctx, fresh)
	now := time.Now()
	for _, line := range l.streams[guest.FromCloudInit].next(now, end) {
		s.line("cloud-init", line)
	}
	for _, line := range l.streams[guest.FromSteps].next(now, end) {
		text, at, isMark := l.readMark(line.text)
		if line.missing > 0 || text != "" || !isMark {
			l.addRecent(line.missing, text)
			s.line(strconv.Itoa(l.step), orderedLine{text, line.missing})
		}
		if isMark {
			l.enterStep(at)
			s.reportAt(at)
		}
	}
	s.rest()
}

// show is the state of one Show.
type show struct {
	*Log

	ctx     context.Context //nolint:containedctx // of one call
	late    int             // how many lines and reports were shown since ctx has ended
	words   reportWords
	fresh   []guest.Report
	shown   []bool          // of fresh
	byPlace map[place][]int // indexes of those of fresh that are not shown
}

// maxLate is how many lines and reports are still shown when a bake ends, by its timeout for example: each takes a call
// of Packer.
const maxLate = 1000

func (l *Log) newShow(ctx context.Context, fresh []guest.Report) *show {
	s := &show{Log: l, ctx: ctx, fresh: fresh, shown: make([]bool, len(fresh)), byPlace: map[place][]int{}}
	for i, r := range fresh {
		s.byPlace[placeOf(r)] = append(s.byPlace[placeOf(r)], i)
	}
	if len(fresh) > 0 {
		s.words = newReportWords(l.reports)
	}
	return s
}

// isOver reports whether nothing is shown any more.
func (s *show) isOver() bool {
	if s.ctx.Err() != nil {
		s.late++
	}
	return s.late > maxLate
}

func (s *show) line(source string, line orderedLine) {
	if !s.isOver() {
		s.showLine(source, line)
	}
}

// reportAt shows the report that stands at a place, if it is fresh.
func (s *show) reportAt(at place) {
	if indexes := s.byPlace[at]; len(indexes) > 0 {
		s.byPlace[at] = indexes[1:]
		s.report(indexes[0])
	}
}

func (s *show) report(i int) {
	s.shown[i] = true
	if !s.isOver() {
		s.showReport(s.words, s.fresh[i])
	}
}

// rest shows the fresh reports that were not shown yet.
func (s *show) rest() {
	for i, shown := range s.shown {
		if !shown {
			s.report(i)
		}
	}
}

// place is where a report stands in the log.
type place struct {
	seq, step int
	kind      guest.Kind
}

func placeOf(r guest.Report) place { return place{r.Seq, r.Step, r.Kind} }

// readMark reads a line that says where a report was made. A line that only looks like it is shown as it is: no report
// was received that it is of.
func (l *Log) readMark(line string) (before string, at place, ok bool) {
	before, mark, ok := guest.ReadMark(line)
	if at = placeOf(mark); ok && l.places[at] {
		return before, at, true
	}
	return line, place{}, false
}

// enterStep sets which step the lines behind a report are from.
func (l *Log) enterStep(at place) {
	if at.kind == guest.Start && at.step != l.step {
		l.step, l.recent = at.step, nil
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
func (l *Log) showReport(words reportWords, r guest.Report) {
	if line := words.describe(r); line != "" {
		line = fmt.Sprintf("[%3d s] %s", l.seconds(), line)
		l.record.Add(line)
		l.bake.Say("%s", line)
	}
}

// seconds is how long ago the machine was launched.
func (l *Log) seconds() int { return int(time.Since(l.launched).Seconds()) }

// reportWords describes reports, with what is known from all of them.
type reportWords struct {
	total  int  // how many steps there are; 0 while it is not known
	failed bool // the bake has failed
}

func newReportWords(all []guest.Report) reportWords {
	o, judged := guest.Judge(all)
	w := reportWords{failed: judged && !o.OK}
	if i := slices.IndexFunc(all, func(r guest.Report) bool { return r.Kind == guest.Begin }); i >= 0 {
		w.total = all[i].Total
	}
	return w
}

// describe returns a report in words, or "" for one that adds nothing.
func (w reportWords) describe(r guest.Report) string {
	switch r.Kind {
	case guest.Commit, guest.Clean:
	case guest.Begin:
		return fmt.Sprintf("the machine is up, with %d steps to do", r.Total)
	case guest.Boot:
		return "the machine has rebooted and carries on"
	case guest.Start:
		return fmt.Sprintf("%s %s", w.stepNumber(r.Step), r.Name)
	case guest.End:
		if r.Code != 0 {
			return fmt.Sprintf("%s %s ended with exit status %d", w.stepNumber(r.Step), r.Name, r.Code)
		}
	case guest.Warn:
		return "warning: " + r.Text
	case guest.Tail:
		return "  | " + r.Text
	case guest.Reason:
		return r.Text
	case guest.Verdict:
		if r.OK && w.failed {
			return "warning: a success is reported that is not the machine's"
		}
		if r.OK {
			return "verdict: success"
		}
		return fmt.Sprintf("verdict: %s failed with exit status %d", r.Name, r.Code)
	}
	return ""
}

// stepNumber returns the number of a step, "2/5" once it is known how many there are.
func (w reportWords) stepNumber(step int) string {
	if w.total > 0 {
		return fmt.Sprintf("%d/%d", step, w.total)
	}
	return strconv.Itoa(step)
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
