// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strconv"
	"strings"
)

// Limits of what ReadLog returns of the end of each source: as many bytes as log_stream.py uploads, and a number of
// lines, because a short line takes more memory than its bytes.
const (
	windowLimit     = 1 << 18
	windowLineLimit = 1 << 15
)

// lineLimit is the length of the longest line that is read whole. Of longer ones, which are not shown, only the length
// is read.
const lineLimit = 1 << 16

// reportsHeader matches the first line of a log: how many lines of reports follow. They come before everything that
// steps have printed, so that nothing of that can be taken for a report.
var reportsHeader = regexp.MustCompile(`^@bakery-reports ([0-9a-z]{1,32}) (\d{1,6})$`)

// ReadLog reads the log that a machine has uploaded, decompressed: its reports, and the end of each source. It needs no
// more memory than for these, ends when ctx does, and returns what it has read even together with an error.
func ReadLog(ctx context.Context, in io.Reader, r Reader) ([]Lines, []Report, error) {
	log := logReader{id: r.BakeID}
	lines := bufio.NewReaderSize(contextReader{ctx, in}, lineLimit)
	var reports reportSet
	left := 0
	for n := 0; ; n++ {
		line, err := readLine(lines)
		if err != nil && line == nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return log.lines(), SortReports(reports.all), err
		}
		if n == 0 {
			if left = r.countReports(line); left > 0 {
				continue
			}
		}
		if left > 0 {
			left--
			reports.addFrom(r, stripEscapes(line[:min(len(line), 2*longestReport)]))
			continue
		}
		log.add(line)
	}
}

// countReports returns how many lines of reports follow the first line of a log.
func (r Reader) countReports(line []byte) int {
	m := reportsHeader.FindSubmatch(line)
	if m == nil || string(m[1]) != r.BakeID {
		return 0
	}
	n, _ := strconv.Atoi(string(m[2])) // at most six digits
	return min(n, maxStagedReports)
}

// contextReader is a reader that ends when its context does: what is decompressed needs no call that would.
type contextReader struct {
	ctx  context.Context //nolint:containedctx // of one call
	from io.Reader
}

// Read implements io.Reader.
func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.from.Read(p)
}

// readLine reads a line, without its line end, which is valid until the next call. In place of a line over lineLimit it
// returns what log_stream.py would send.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		if len(line) == 0 && err != nil {
			return nil, err
		}
		return bytes.TrimSuffix(line, []byte("\n")), nil
	}
	size := len(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = in.ReadSlice('\n')
		size += len(line)
	}
	return fmt.Appendf(nil, "\x1e%d", size), nil
}

// maxStagedReports bounds the memory for the reports of one log: two for each of ten thousand commands, and some more.
const maxStagedReports = 32768

type logReader struct {
	id      string
	windows []*window
}

func (g *logReader) add(line []byte) {
	before, header, ok := cutHeader(line, g.id)
	if len(g.windows) > 0 && (!ok || len(before) > 0) {
		g.windows[len(g.windows)-1].add(string(before))
	}
	if ok && len(g.windows) < int(sources) {
		g.windows = append(g.windows, &window{Lines: header})
	}
}

func (g *logReader) lines() []Lines {
	var all []Lines
	for _, w := range g.windows {
		w.trim(windowLimit, windowLineLimit)
		all = append(all, w.Lines)
	}
	return all
}

// window is the last lines of a source.
type window struct {
	Lines

	size int
}

func (w *window) add(line string) {
	w.Text = append(w.Text, line)
	w.size += len(line) + 1
	if w.size > 2*windowLimit || len(w.Text) >= 2*windowLineLimit {
		w.trim(windowLimit, windowLineLimit)
	}
}

// trim removes the oldest lines, of which so many bytes and lines are left.
func (w *window) trim(bytes, lines int) {
	n := 0
	for ; n < len(w.Text) && (w.size > bytes || len(w.Text)-n > lines); n++ {
		w.size -= len(w.Text[n]) + 1
	}
	w.First += n
	w.Text = append([]string{}, w.Text[n:]...)
}

// Log returns a log as a machine uploads it, of its reports so far and its lines.
func (w Writer) Log(reports []string, all ...Lines) string {
	var b strings.Builder
	printed := strings.FieldsFunc(strings.Join(reports, ""), func(r rune) bool { return r == '\r' || r == '\n' })
	fmt.Fprintf(&b, "@bakery-reports %s %d\n", w.BakeID, len(printed))
	for _, report := range printed {
		b.WriteString(report + "\n")
	}
	for _, l := range all {
		b.WriteString(l.header(w.BakeID))
		for _, text := range l.Text {
			b.WriteString(text + "\n")
		}
	}
	return b.String()
}

// fileLineLimit is the longest line of LogLines, in bytes.
const fileLineLimit = 1 << 20

// LogLines yields the lines of a log, to be written to a file. It ends after an error, and when ctx ends.
func LogLines(ctx context.Context, r io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		in := bufio.NewReaderSize(contextReader{ctx, r}, fileLineLimit)
		for {
			line, err := readLine(in)
			if line == nil && err != nil {
				if !errors.Is(err, io.EOF) {
					yield("", err)
				}
				return
			}
			text := string(line)
			if m := findTooLong(text); m != nil {
				text = "[a line of " + m[1] + " bytes is left out]"
			}
			if !yield(text, nil) {
				return
			}
		}
	}
}
