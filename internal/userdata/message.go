// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"strings"
)

// maxDepth is how deep multiparts may be nested. Python's parser has no limit but that of its recursion.
const maxDepth = 10

// Limits of what is read of headers: about how many bytes of one that is continued on further lines, and how many of a
// message. A real one has ten.
const (
	maxHeader  = 1 << 12
	maxHeaders = 1000
)

// message is a MIME message or one part of it, as Python's email package reads it (email/feedparser.py). Other parsers
// read some messages differently: Python accepts a missing end, and silently takes a text as preamble.
type message struct {
	headers []header
	line    int    // of its first header, from 1
	body    string // not decoded; empty for a multipart that has parts
	// bodyLine is the line in which the body begins.
	bodyLine int
	parts    []*message

	preamble, epilogue         string
	preambleLine, epilogueLine int
	boundary                   string
	unclosed                   bool // the end of the multipart is missing
	tooDeep                    bool // the parts were not parsed
	tooManyHeaders             bool // not all were read
}

type header struct {
	name, value string
	line        int
}

// lineReader reads lines, and ends at a line that is a boundary of an enclosing multipart.
type lineReader struct {
	rest       string
	number     int // of the next line
	boundaries []string
}

// next returns the next line with its line end, or "" at the end.
func (r *lineReader) next() string {
	line := r.peek()
	for _, b := range r.boundaries {
		if isBoundary, _ := matchBoundary(line, b); isBoundary {
			return ""
		}
	}
	r.take(line)
	return line
}

// peek returns the next line, also when it is a boundary.
func (r *lineReader) peek() string {
	i := strings.IndexAny(r.rest, "\r\n")
	switch {
	case i < 0:
		return r.rest
	case strings.HasPrefix(r.rest[i:], "\r\n"):
		return r.rest[:i+2]
	default:
		return r.rest[:i+1]
	}
}

func (r *lineReader) take(line string) {
	r.rest = r.rest[len(line):]
	r.number += strings.Count(line, "\n")
}

// remaining returns all lines up to the end, and the number of the first.
func (r *lineReader) remaining() (text string, first int) {
	first = r.number
	start := r.rest
	for r.next() != "" {
	}
	return start[:len(start)-len(r.rest)], first
}

// matchBoundary reports whether a line separates the parts of a multipart, and whether it ends the last.
func matchBoundary(line, boundary string) (separates, ends bool) {
	rest, ok := strings.CutPrefix(line, "--"+boundary)
	if !ok {
		return false, false
	}
	rest, ends = strings.CutPrefix(rest, "--")
	return strings.Trim(rest, " \t\r\n") == "", ends
}

// parseMessage parses a text that has a MIME-Version in it.
func parseMessage(text string) *message {
	return (&lineReader{rest: text, number: 1}).message(0)
}

func (r *lineReader) message(depth int) *message {
	m := &message{line: r.number}
	r.headers(m)
	m.bodyLine = r.number
	if !strings.HasPrefix(m.contentType(), "multipart/") {
		m.body, _ = r.remaining()
		return m
	}
	m.boundary = strings.TrimRight(parameter(m.header("Content-Type"), "boundary"), " \t\r\n")
	switch {
	case m.boundary == "":
		m.body, _ = r.remaining()
	case depth >= maxDepth:
		m.tooDeep = true
		m.body, _ = r.remaining()
	default:
		r.multipart(m, depth)
	}
	return m
}

// headers reads the header lines and the blank line after them. A line that is no header begins the body.
func (r *lineReader) headers(m *message) {
	for {
		number := r.number
		before := r.rest
		line := r.next()
		text := strings.TrimRight(line, "\r\n")
		switch {
		case line == "" || text == "":
			return
		case !isHeaderLine(line):
			r.rest, r.number = before, number
			return
		case line[0] == ' ' || line[0] == '\t':
			if n := len(m.headers); n > 0 && len(m.headers[n-1].value) < maxHeader {
				m.headers[n-1].value += "\n" + text
			}
			continue
		}
		name, value, found := strings.Cut(text, ":")
		if len(m.headers) >= maxHeaders {
			m.tooManyHeaders = true
			continue
		}
		if found && name != "" {
			m.headers = append(m.headers, header{name, strings.TrimLeft(value, " \t"), number})
		}
	}
}

// isHeaderLine is headerRE of email/feedparser.py.
func isHeaderLine(line string) bool {
	if strings.HasPrefix(line, "From ") || line[0] == ' ' || line[0] == '\t' {
		return true
	}
	name, _, found := strings.Cut(line, ":")
	return found && strings.IndexFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

// multipart reads the parts of a multipart.
func (r *lineReader) multipart(m *message, depth int) {
	preamble := r.rest
	m.preambleLine = r.number
	for {
		before := r.rest
		line := r.next()
		if line == "" { // no boundary at all: all was preamble
			m.body = preamble[:len(preamble)-len(before)]
			return
		}
		if separates, _ := matchBoundary(line, m.boundary); separates {
			m.preamble = preamble[:len(preamble)-len(before)]
			r.rest, r.number = before, r.number-strings.Count(line, "\n")
			break
		}
	}
	for {
		line := r.next()
		separates, ends := matchBoundary(line, m.boundary)
		switch {
		case line == "":
			m.unclosed = true
			return
		case separates && ends:
			m.epilogue, m.epilogueLine = r.remaining()
			return
		}
		for separates { // as Python does: a boundary directly after another begins no part, not even one that ends
			if separates, _ = matchBoundary(r.peek(), m.boundary); separates {
				r.next()
			}
		}
		r.boundaries = append(r.boundaries, m.boundary)
		part := r.message(depth + 1)
		r.boundaries = r.boundaries[:len(r.boundaries)-1]
		part.body = withoutLineEnd(part.body)
		m.parts = append(m.parts, part)
	}
}

// withoutLineEnd removes the last line end, which belongs to the boundary that follows.
func withoutLineEnd(text string) string {
	if trimmed, ok := strings.CutSuffix(text, "\n"); ok {
		return strings.TrimSuffix(trimmed, "\r")
	}
	return strings.TrimSuffix(text, "\r")
}

// header returns the first header of a name, or "".
func (m *message) header(name string) string {
	for _, h := range m.headers {
		if strings.EqualFold(h.name, name) {
			return h.value
		}
	}
	return ""
}

// contentType returns the type without parameters, in lower case. One that is no type is text/plain.
func (m *message) contentType() string {
	value, _, _ := strings.Cut(m.header("Content-Type"), ";")
	value = strings.ToLower(strings.TrimSpace(value))
	if strings.Count(value, "/") != 1 {
		return "text/plain"
	}
	return value
}

// fileName is the name of an attachment.
func (m *message) fileName() string {
	if name := parameter(m.header("Content-Disposition"), "filename"); name != "" {
		return name
	}
	return parameter(m.header("Content-Type"), "name")
}

// parameter returns a parameter of a header such as Content-Type, or "".
func parameter(value, name string) string {
	for {
		at := indexUnquoted(value, ';')
		if at < 0 {
			return ""
		}
		value = value[at+1:]
		one := value
		if end := indexUnquoted(value, ';'); end >= 0 {
			one = value[:end]
		}
		key, text, _ := strings.Cut(one, "=")
		if !strings.EqualFold(strings.TrimSpace(key), name) {
			continue
		}
		text = strings.TrimSpace(text)
		if len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' {
			text = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(text[1 : len(text)-1])
		}
		return text
	}
}

// indexUnquoted returns the index of a character that is not between double quotes, or -1.
func indexUnquoted(text string, char byte) int {
	quoted := false
	for i := range len(text) {
		switch {
		case text[i] == '"' && (i == 0 || text[i-1] != '\\'):
			quoted = !quoted
		case text[i] == char && !quoted:
			return i
		}
	}
	return -1
}
