// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

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

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// logRecord is a file of what the machine has told so far. It has no name where the system allows that, so that nothing is
// left of it however this process ends.
type logRecord struct {
	file   *os.File
	failed bool
}

// record notes a line for log_file.
func (b *bake) record(line string) {
	r := &b.told
	if r.failed {
		return
	}
	if r.file == nil {
		f, err := os.CreateTemp("", "bakery-log-") // readable by its owner only
		if err != nil {
			r.failed = true
			b.warn("what the machine tells cannot be kept for log_file: %s", err)
			return
		}
		_ = os.Remove(f.Name()) // Windows does this when it is closed
		r.file = f
	}
	if _, err := r.file.WriteString(blot(line) + "\n"); err != nil {
		r.failed = true
		b.warn("what the machine tells cannot be kept for log_file any more: %s", err)
	}
}

func (r *logRecord) close() {
	if r.file == nil {
		return
	}
	_ = r.file.Close()
	_ = os.Remove(r.file.Name())
	r.file = nil
}

// saveTimeout is how long fetching the log may take.
const saveTimeout = 2 * time.Minute

// saveLog writes log_file, once. That it cannot be written fails no bake.
func (b *bake) saveLog(ctx context.Context, path string) {
	if b.logSaved || path == "" || path == os.DevNull {
		return
	}
	b.logSaved = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	written, err := b.writeLog(ctx, path)
	switch {
	case err != nil:
		b.warn("the log of the machine could not be written to log_file: %s", err)
	case written:
		b.say("The log of the machine is in %s", path)
	}
}

// writeLog writes what there is of a log, and tells whether there was any.
func (b *bake) writeLog(ctx context.Context, path string) (written bool, err error) {
	staged := b.openStagedLog(ctx)
	if staged != nil {
		defer staged.Close()
	}
	if staged == nil && b.told.file == nil {
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
		if whole, err := b.copyStagedLog(out, staged); whole || err != nil {
			return true, err
		}
		fmt.Fprintf(out, "--- and what the machine told while it baked:\n")
	}
	return true, b.copyRecord(out)
}

// copyRecord writes what the machine told while it baked.
func (b *bake) copyRecord(out io.Writer) error {
	if b.told.file == nil {
		return nil
	}
	fmt.Fprintf(out, "--- bake %s, machine %s: what it told while it baked; %d lines are missing\n", b.id, b.machine.id, b.live().lost)
	if b.store == nil {
		fmt.Fprintln(out, "--- staging { } in the template would have given the whole log")
	}
	if _, err := b.told.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(out, b.told.file)
	return err
}

// stagedHeader stands before the lines of each source in the staged log: Source, Since, First.
var stagedHeader = regexp.MustCompile(`^@bakery-lines [0-9a-z]+ (\d) \d+ (\d+)$`)

// copyStagedLog writes the log that the machine has uploaded, and tells whether it is whole: while the machine works, it is
// the end of it only.
func (b *bake) copyStagedLog(out io.Writer, staged io.Reader) (whole bool, err error) {
	fmt.Fprintf(out, "--- bake %s, machine %s: the log that it uploaded\n", b.id, b.machine.id)
	from := []string{"cloud-init's modules", "the steps"}
	for line, err := range guest.LogLines(staged) {
		if err != nil { // what there is of a log that is cut off is still worth having
			fmt.Fprintf(out, "--- it ends here: %s\n", err)
			return false, nil
		}
		if m := stagedHeader.FindStringSubmatch(line); m != nil && len(from) > 0 {
			fmt.Fprintf(out, "--- what %s printed, from line %s on\n", from[0], m[2])
			from = from[1:]
			continue
		}
		if _, r, ok := guest.ReadReport(line, b.id); ok && r.Kind == guest.Verdict { // which only the whole log has
			whole = true
		}
		line = guest.Plain(strings.ReplaceAll(strings.TrimRight(line, "\r"), "\r", "\n"))
		if _, err := fmt.Fprintln(out, blot(line)); err != nil {
			return false, err
		}
	}
	return whole, nil
}
