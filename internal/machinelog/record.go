// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machinelog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
	"github.com/amibakery/packer-plugin-bakery/internal/scratch"
	"github.com/amibakery/packer-plugin-bakery/internal/wholefile"
)

// Record is a file of what the machines of a bake have said, from which log_file is written where there is no whole
// log. It has no name where the system allows that, so that nothing is left of it however this process ends.
type Record struct {
	bake       *bake.Bake
	hasStaging bool // the template has staging, so there may be a whole log
	file       *scratch.File
	missing    int // how many lines were never received
	size       int // of the file, in bytes
	failed     bool
	saved      bool // to log_file
}

// NewRecord returns an empty record, of a template with or without staging.
func NewRecord(b *bake.Bake, hasStaging bool) *Record {
	return &Record{bake: b, hasStaging: hasStaging}
}

// Add appends a line, without secrets. When that fails, there is one warning, and the record ends there.
func (r *Record) Add(line string) {
	if r.failed {
		return
	}
	if r.file == nil {
		f, err := scratch.NewFile()
		if err != nil {
			r.failed = true
			r.bake.Warn("what the machine tells cannot be kept for log_file: %s", err)
			return
		}
		r.file = f
	}
	n, err := r.file.WriteString(redact.Text(line) + "\n")
	if r.size += n; err == nil && r.size > recordLimit {
		err = fmt.Errorf("it is over %d MiB", recordLimit>>20)
	}
	if err != nil {
		r.failed = true
		r.bake.Warn("what the machine tells cannot be kept for log_file any more: %s", err)
	}
}

// recordLimit bounds the disk that a record takes, in bytes. By its console, a machine tells that much in half a day.
const recordLimit = 256 << 20

// Close removes the record.
func (r *Record) Close() {
	if r.file == nil {
		return
	}
	_ = r.file.Close()
	r.file = nil
}

// saveTimeout is how long fetching the log may take; with cancelledTimeout, when the user has interrupted the bake.
const (
	saveTimeout      = 2 * time.Minute
	cancelledTimeout = 5 * time.Second
)

// Save writes log_file, once: the whole log of the machine where S3 has it, else what was recorded. l is the log of the
// newest machine, or nil; a log_file that cannot be written fails no bake. When ctx has ended, it takes what it gets at
// once.
func (r *Record) Save(ctx context.Context, path string, l *Log, machineID string) {
	if r.saved || path == "" || path == os.DevNull {
		return
	}
	r.saved = true
	timeout := saveTimeout
	if ctx.Err() != nil {
		timeout = cancelledTimeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	written, err := r.write(ctx, path, l, machineID)
	switch {
	case err != nil:
		r.bake.Warn("the log of the machine could not be written to log_file: %s", err)
	case written:
		r.bake.Say("The log of the machine is in %s", path)
	}
}

// write writes what there is of a log, and reports whether there was any.
func (r *Record) write(ctx context.Context, path string, l *Log, machineID string) (written bool, err error) {
	var staged io.Reader
	if whole := l.openStaged(ctx, machineID); whole != nil {
		defer whole.Close()
		staged = whole
	}
	if staged == nil && r.file == nil {
		return false, nil
	}
	return true, wholefile.Write(path, wholefile.Private, func(to io.Writer) error {
		out := bufio.NewWriter(to)
		return errors.Join(r.writeTo(ctx, out, staged, l, machineID), out.Flush())
	})
}

// writeTo writes the log in S3, if there is one, and what was recorded unless that is whole. When ctx ends meanwhile,
// what was recorded stands for the rest.
func (r *Record) writeTo(
	ctx context.Context, out io.Writer, staged io.Reader, l *Log, machineID string,
) error {
	if staged != nil {
		fmt.Fprintf(out, "--- bake %s, machine %s: the log that it uploaded\n", r.bake.ID, machineID)
		whole, err := copyStaged(ctx, out, staged, l.reader)
		if whole || err != nil && ctx.Err() == nil {
			return err
		}
		fmt.Fprintf(out, "--- and what the machine told while it baked:\n")
	}
	return r.copyTo(out, machineID)
}

// openStaged returns all of the machine's log in S3, or nil when there is none.
func (l *Log) openStaged(ctx context.Context, machineID string) io.ReadCloser {
	if l == nil || l.staged == nil || machineID == "" {
		return nil
	}
	return l.staged.open(ctx)
}

// copyTo writes what was recorded.
func (r *Record) copyTo(out io.Writer, machineID string) error {
	if r.file == nil {
		return nil
	}
	fmt.Fprintf(out, "--- bake %s, machine %s: what it told while it baked; %d lines are missing\n",
		r.bake.ID, machineID, r.missing)
	if !r.hasStaging {
		fmt.Fprintln(out, "--- staging { } in the template would have given the whole log")
	}
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(out, r.file)
	return err
}

// stagedHeader stands before the lines of each source in the staged log: the id of the bake, Source, Since, First.
var stagedHeader = regexp.MustCompile(`^@bakery-lines ([0-9a-z]+) (\d) \d+ (\d+)$`)

// findHeader returns the submatches of stagedHeader, without calling it for each line.
func findHeader(line string) []string {
	if !strings.HasPrefix(line, "@bakery-lines ") {
		return nil
	}
	return stagedHeader.FindStringSubmatch(line)
}

// copyStaged writes the log that the machine has uploaded, and reports whether it is whole: while the machine works, it
// is only the end of the log.
func copyStaged(
	ctx context.Context, out io.Writer, staged io.Reader, reader guest.Reader,
) (whole bool, err error) {
	sources, begun, verdict := []string{"cloud-init's modules", "the steps"}, false, ""
	marked := marks{}
	for line, err := range guest.LogLines(ctx, staged) {
		if err != nil { // what there is of a log that is cut off is still worth having
			fmt.Fprintf(out, "--- it ends here: %s\n", err)
			return false, nil
		}
		if m := findHeader(line); m != nil && len(sources) > 0 && m[1] == reader.BakeID {
			fmt.Fprintf(out, "--- what %s printed, from line %s on\n", sources[0], m[3])
			sources, begun = sources[1:], true
			continue
		}
		if !begun { // the reports, which come before what was printed
			_, r, ok := reader.Report(line)
			if ok {
				marked.add(r, line)
			}
			if ok && r.Kind == guest.Verdict { // which only the whole log has
				verdict = reportWords{}.describe(r)
			}
			continue
		}
		if _, err := io.WriteString(out, redact.Text(marked.plainLine(line))+"\n"); err != nil {
			return false, err
		}
	}
	if verdict != "" {
		fmt.Fprintf(out, "--- %s\n", verdict)
	}
	return verdict != "", nil
}

// marks are the words of the reports that a log has, by their places.
type marks map[place]string

// add adds a report, given the line that it is from.
func (m marks) add(r guest.Report, line string) {
	const before = 5 // words: the mark, the code, the length, the id of the bake, the number of the report
	if words := strings.SplitN(line, " ", before+2); len(words) == before+2 && len(m) < maxReports {
		said := words[before+1]
		if guest.MayBeCut(r) {
			said = redact.CutEnd(said)
		}
		m[placeOf(r)] = words[before-1] + " " + said
	}
}

// plainLine returns a line of a log as it is written to a file. The place of a report is shown by what the report says,
// on a line of its own that begins with "--- ". What is printed can look like a place, and can begin so too: each
// report is shown once, and a bar stands before printed lines that begin so.
func (m marks) plainLine(line string) string {
	before, report, ok := guest.ReadMark(line)
	words, isReport := m[placeOf(report)]
	if !ok || !isReport {
		return printedLine(line)
	}
	delete(m, placeOf(report))
	words = "--- " + guest.Plain(words)
	if before == "" {
		return words
	}
	return printedLine(before) + "\n" + words
}

// printedLine returns a line that was printed. What stands before a carriage return is on a line of its own.
func printedLine(line string) string {
	lines := strings.Split(strings.TrimRight(line, "\r"), "\r")
	for i, text := range lines {
		if lines[i] = guest.Plain(text); strings.HasPrefix(lines[i], "---") {
			lines[i] = "| " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}
