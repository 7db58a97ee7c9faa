// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// windowLimit is how much of the end of each source ReadLog returns, in bytes: as much as log_stream.py uploads.
const windowLimit = 1 << 18

// lineLimit is the length of the longest line that is read whole. Of longer ones, which are not shown, only the length
// is read.
const lineLimit = 1 << 16

// ReadLog reads the log that a machine has uploaded, decompressed: all reports of the bake in it, and the end of each
// source. It needs no more memory than for these, and returns what it has read even together with an error.
func ReadLog(r io.Reader, bakeID string) ([]Lines, []Report, error) {
	log := logReader{id: bakeID, seen: map[int]bool{}}
	in := bufio.NewReaderSize(r, lineLimit)
	for {
		line, err := readLine(in)
		if err != nil && line == nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return log.lines(), log.reports, err
		}
		log.add(line)
	}
}

// readLine reads a line, without its line end. In place of a line over lineLimit it returns what log_stream.py would
// send.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		if len(line) == 0 && err != nil {
			return nil, err
		}
		return append([]byte{}, bytes.TrimSuffix(line, []byte("\n"))...), nil
	}
	size := len(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = in.ReadSlice('\n')
		size += len(line)
	}
	return fmt.Appendf(nil, "\x1e%d", size), nil
}

// maxReports bounds the memory for a machine's reports: two for each of ten thousand commands, and some more.
const maxReports = 32768

type logReader struct {
	id      string
	windows []*window
	seen    map[int]bool
	reports []Report
}

func (g *logReader) add(line []byte) {
	before, header, ok := cutHeader(line, g.id)
	if len(g.windows) > 0 && (!ok || len(before) > 0) {
		g.windows[len(g.windows)-1].add(string(before))
	}
	if ok && len(g.windows) < int(sources) {
		g.windows = append(g.windows, &window{Lines: header})
	}
	if !bytes.Contains(line, []byte("@bakery ")) {
		return
	}
	for _, r := range ReadReports(line, g.id) {
		if !g.seen[r.Seq] && len(g.reports) < maxReports {
			g.seen[r.Seq] = true
			g.reports = append(g.reports, r)
		}
	}
}

func (g *logReader) lines() []Lines {
	var all []Lines
	for _, w := range g.windows {
		w.trim(windowLimit)
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
	if w.size > 2*windowLimit {
		w.trim(windowLimit)
	}
}

func (w *window) trim(limit int) {
	n := 0
	for ; w.size > limit && n < len(w.Text); n++ {
		w.size -= len(w.Text[n]) + 1
	}
	w.First += n
	w.Text = append([]string{}, w.Text[n:]...)
}

// FormatLog returns a log as a machine uploads it, for programs that simulate a machine.
func FormatLog(bakeID string, all ...Lines) string {
	var b strings.Builder
	for _, l := range all {
		b.WriteString(l.header(bakeID))
		for _, text := range l.Text {
			b.WriteString(text + "\n")
		}
	}
	return b.String()
}

// fileLineLimit is the longest line of LogLines, in bytes.
const fileLineLimit = 1 << 20

// LogLines yields the lines of a log, to be written to a file. It ends after an error.
func LogLines(r io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		in := bufio.NewReaderSize(r, fileLineLimit)
		for {
			line, err := readLine(in)
			if line == nil && err != nil {
				if !errors.Is(err, io.EOF) {
					yield("", err)
				}
				return
			}
			text := string(line)
			if m := tooLong.FindStringSubmatch(text); m != nil {
				text = "[a line of " + m[1] + " bytes is left out]"
			}
			if !yield(text, nil) {
				return
			}
		}
	}
}
