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

// Source is what a machine's lines are from. Each has its own numbers of lines, from 1.
type Source int

// The sources, as program/tell.py numbers them.
const (
	FromCloudInit Source = iota // what cloud-init's own modules printed
	FromSteps                   // what the steps printed, with the reports in between
	FromEnd                     // the last lines of the step that failed, once more
)

const sources = FromEnd + 1

// Lines are some of the lines a machine has printed, one after another.
type Lines struct {
	Source Source
	// Since and First say which: Text[0] is line First, and there is more to come for none of the lines from Since up to it.
	Since, First int
	Text         []string // without line ends, as the machine printed them
}

// linesHeader stands before the lines of one source. It is printed in no other way than this.
var linesHeader = regexp.MustCompile(`@bakery-lines ([0-9a-z]{1,32}) (\d) (\d{1,15}) (\d{1,15})$`)

// isHeader takes a header of one bake, and what a source without a new line at its end has left before it.
func isHeader(line []byte, bakeID string) (before []byte, l Lines, ok bool) {
	if !bytes.Contains(line, []byte("@bakery-lines ")) {
		return line, l, false
	}
	at := linesHeader.FindSubmatchIndex(line)
	if at == nil || string(line[at[2]:at[3]]) != bakeID {
		return line, l, false
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(string(line[at[2*i]:at[2*i+1]])) // at most 15 digits
		return n
	}
	l = Lines{Source: Source(number(2)), Since: number(3), First: number(4)}
	if l.Source >= sources || l.Since < 1 || l.First < l.Since {
		return line, l, false
	}
	return line[:at[0]], l, true
}

func (l Lines) header(bakeID string) string {
	return fmt.Sprintf("@bakery-lines %s %d %d %d\n", bakeID, l.Source, l.Since, l.First)
}

// parseLines reads the text of a chunk: a header and lines.
func parseLines(text []byte, bakeID string) (Lines, bool) {
	header, rest, _ := bytes.Cut(text, []byte("\n"))
	_, l, ok := isHeader(header, bakeID)
	if !ok {
		return l, false
	}
	if body := strings.TrimSuffix(string(rest), "\n"); len(rest) > 0 {
		l.Text = strings.Split(body, "\n")
	}
	return l, true
}

// tooLong is what tell.py leaves of a line that it does not print.
var tooLong = regexp.MustCompile(`^\x1e(\d{1,15})$`)

// longest is the longest line that is shown, in bytes; LONGEST of tell.py.
const longest = 2000

// Show is a line as it may go to a terminal: without what moves the cursor, changes colours or the direction of writing, and
// as it looked at its end where it was written over. A line that is very long is not shown in pieces, in which nobody would
// know a secret again, but named.
func Show(line string) string {
	line = strings.TrimRight(line, "\r")
	line = line[strings.LastIndexByte(line, '\r')+1:]
	if m := tooLong.FindStringSubmatch(line); m != nil {
		return "[a line of " + m[1] + " bytes is not shown]"
	}
	if len(line) > longest {
		return fmt.Sprintf("[a line of %d bytes is not shown]", len(line))
	}
	return Plain(line)
}

// Plain is a text without terminal sequences, and with everything else that is not to be seen written out.
func Plain(text string) string { return terminal.Plain(escapes.ReplaceAllString(text, "")) }
