// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/terminal"
)

// Source is the origin of a machine's lines. The lines of each source are numbered from 1.
type Source int

// The sources, as program/log_stream.py numbers them.
const (
	FromCloudInit Source = iota // what cloud-init's own modules printed
	FromSteps                   // what the steps printed, with the reports in between
	FromEnd                     // the last lines of the step that failed, sent again
)

const sources = FromEnd + 1

// Lines are consecutive lines that a machine has printed.
type Lines struct {
	Source Source
	// First is the number of the line Text[0]. The lines from Since up to First were left out, and will not be sent.
	Since, First int
	Text         []string // without line ends, as the machine printed them
}

// Memory returns about how many bytes of memory lines take, which is much more than they have where they are short.
func (l Lines) Memory() int {
	const header, perLine = 64, 16
	size := header
	for _, text := range l.Text {
		size += perLine + len(text)
	}
	return size
}

// headerMark begins the header before the lines of one source.
const headerMark = "@bakery-lines "

// linesHeader matches such a header.
var linesHeader = regexp.MustCompile(`^` + headerMark + `([0-9a-z]{1,32}) (\d) (\d{1,15}) (\d{1,15})$`)

// longestHeader is the length of the longest text that linesHeader matches.
const longestHeader = len(headerMark) + 32 + 1 + 1 + 1 + 15 + 1 + 15

// cutHeader parses a line as the header of one bake's lines. A source whose last line has no line end leaves that line
// before the header; cutHeader returns it as before.
func cutHeader(line []byte, bakeID string) (before []byte, l Lines, ok bool) {
	end := line[max(0, len(line)-longestHeader):]
	begin := bytes.LastIndex(end, []byte(headerMark))
	if begin < 0 {
		return line, l, false
	}
	m := linesHeader.FindSubmatch(end[begin:])
	if m == nil || string(m[1]) != bakeID {
		return line, l, false
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(string(m[i])) // at most 15 digits
		return n
	}
	l = Lines{Source: Source(number(2)), Since: number(3), First: number(4)}
	if l.Source >= sources || l.Since < 1 || l.First < l.Since {
		return line, l, false
	}
	return line[:len(line)-len(end)+begin], l, true
}

func (l Lines) header(bakeID string) string {
	return fmt.Sprintf("@bakery-lines %s %d %d %d\n", bakeID, l.Source, l.Since, l.First)
}

// parseLines parses the text of a chunk: a header and lines.
func parseLines(text []byte, bakeID string) (Lines, bool) {
	header, rest, _ := bytes.Cut(text, []byte("\n"))
	_, l, ok := cutHeader(header, bakeID)
	if !ok {
		return l, false
	}
	if body := strings.TrimSuffix(string(rest), "\n"); len(rest) > 0 {
		l.Text = strings.Split(body, "\n") // at most as many as chunkLimit allows
	}
	return l, true
}

// tooLong matches what log_stream.py sends in place of a line that is too long: its length.
var tooLong = regexp.MustCompile(`^\x1e(\d{1,15})$`)

// findTooLong returns what tooLong matches in a line, or nil. Most lines need no regular expression for that.
func findTooLong(line string) []string {
	if !strings.HasPrefix(line, "\x1e") {
		return nil
	}
	return tooLong.FindStringSubmatch(line)
}

// maxShown is the length of the longest line that is shown, in bytes: MAX_LINE of log_stream.py.
const maxShown = 2000

// Show returns a line as it may be printed on a terminal: without sequences that move the cursor, change colours or the
// direction of text. Of a line that was overwritten, such as a progress bar, it returns the last state. In place of a
// very long line it returns its length: if the line were cut, secrets in it could not be found and redacted.
func Show(line string) string {
	line = strings.TrimRight(line, "\r")
	line = line[strings.LastIndexByte(line, '\r')+1:]
	if m := findTooLong(line); m != nil {
		return "[a line of " + m[1] + " bytes is not shown]"
	}
	if len(line) > maxShown {
		return fmt.Sprintf("[a line of %d bytes is not shown]", len(line))
	}
	return Plain(line)
}

// Plain returns a text without terminal sequences, and with other invisible characters escaped.
func Plain(text string) string {
	if strings.IndexByte(text, '\x1b') >= 0 {
		text = escapes.ReplaceAllString(text, "")
	}
	return terminal.Plain(text)
}
