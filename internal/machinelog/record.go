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
)

// Record is a file of what the machines of a bake have said, from which log_file is written where there is no whole
// log. It has no name where the system allows that, so that nothing is left of it however this process ends.
type Record struct {
	bake       *bake.Bake
	hasStaging bool // the template has staging, so there may be a whole log
	file       *os.File
	missing    int // how many lines were never received
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
		f, err := os.CreateTemp("", "bakery-log-") // readable by its owner only
		if err != nil {
			r.failed = true
			r.bake.Warn("what the machine tells cannot be kept for log_file: %s", err)
			return
		}
		_ = os.Remove(f.Name()) // Windows does this when it is closed
		r.file = f
	}
	if _, err := r.file.WriteString(redact.Text(line) + "\n"); err != nil {
		r.failed = true
		r.bake.Warn("what the machine tells cannot be kept for log_file any more: %s", err)
	}
}

// Close removes the record.
func (r *Record) Close() {
	if r.file == nil {
		return
	}
	_ = r.file.Close()
	_ = os.Remove(r.file.Name())
	r.file = nil
}

// saveTimeout is how long fetching the log may take.
const saveTimeout = 2 * time.Minute

// Save writes log_file, once: the whole log of the machine where S3 has it, else what was recorded. l is the log of the
// newest machine, or nil; a log_file that cannot be written fails no bake.
func (r *Record) Save(ctx context.Context, path string, l *Log, machineID string) {
	if r.saved || path == "" || path == os.DevNull {
		return
	}
	r.saved = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
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
	staged := l.openStaged(ctx, machineID)
	if staged != nil {
		defer staged.Close()
	}
	if staged == nil && r.file == nil {
		return false, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		_ = f.Chmod(0o600) // of a file that was there; Windows knows no such thing
	}
	out := bufio.NewWriter(f)
	defer func() { err = errors.Join(err, out.Flush()) }()
	if staged != nil {
		fmt.Fprintf(out, "--- bake %s, machine %s: the log that it uploaded\n", r.bake.ID, machineID)
		if whole, err := copyStaged(out, staged, r.bake.ID); whole || err != nil {
			return true, err
		}
		fmt.Fprintf(out, "--- and what the machine told while it baked:\n")
	}
	return true, r.copyTo(out, machineID)
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

// stagedHeader stands before the lines of each source in the staged log: Source, Since, First.
var stagedHeader = regexp.MustCompile(`^@bakery-lines [0-9a-z]+ (\d) \d+ (\d+)$`)

// copyStaged writes the log that the machine has uploaded, and reports whether it is whole: while the machine works, it
// is only the end of the log.
func copyStaged(out io.Writer, staged io.Reader, bakeID string) (whole bool, err error) {
	sources := []string{"cloud-init's modules", "the steps"}
	for line, err := range guest.LogLines(staged) {
		if err != nil { // what there is of a log that is cut off is still worth having
			fmt.Fprintf(out, "--- it ends here: %s\n", err)
			return false, nil
		}
		if m := stagedHeader.FindStringSubmatch(line); m != nil && len(sources) > 0 {
			fmt.Fprintf(out, "--- what %s printed, from line %s on\n", sources[0], m[2])
			sources = sources[1:]
			continue
		}
		if _, r, ok := guest.ReadReport(line, bakeID); ok && r.Kind == guest.Verdict { // which only the whole log has
			whole = true
		}
		line = guest.Plain(strings.ReplaceAll(strings.TrimRight(line, "\r"), "\r", "\n"))
		if _, err := fmt.Fprintln(out, redact.Text(line)); err != nil {
			return false, err
		}
	}
	return whole, nil
}
