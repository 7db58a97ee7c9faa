// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package userdata reads user data that somebody wrote for cloud-init: a script, a cloud-config, a MIME multipart or an
// archive of these, plain, as gzip or as base64.
//
// cloud-init drops what it cannot use with nothing but a line in its log: a part that is not YAML, a part of a type it
// does not know, a text that is nearly MIME. Here each of these is an error, so that it is found before a machine is
// launched. What is left becomes a program of the machine as that of an Image-Source does: the items of runcmd and the
// scripts are its steps, in the order that cloud-init has.
//
// cloud-init differs between versions. A form that some of 19.3 to 26.2 drop is refused, unless this package makes the
// difference irrelevant by what it makes of it. Source: cloudinit/user_data.py and cloudinit/handlers/ of these
// versions.
//
// The package is pure: bytes in, a program and problems out. It may not know files, Packer or AWS.
package userdata

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// The names in the list of failures to ignore that are no keys of cloud-config.
const (
	IgnoreParts     = "parts"     // parts that cloud-init drops
	IgnoreBoothooks = "boothooks" // boothooks that cannot run
)

// Limits. Real user data is far below them: EC2 takes 16 KB, compressed.
const (
	maxParts  = 500
	maxBroken = 50 // parts with problems, after which the others are not checked
)

// reader is the state of one Parse.
type reader struct {
	name     string
	ignore   []string
	problems problem.List

	left    int64 // bytes that may still be decompressed
	padding int   // blank lines that may still be put before a part, so that its lines have the right numbers
	several bool  // the user data has parts
	count   int   // parts that were read
	broken  int   // parts with an error
	// multiparts counts what contains parts.
	multiparts int
	stopped    bool

	// attached counts the parts that cloud-init numbers.
	attached int
	// fetches says that a part before may have brought a handler of further types.
	fetches bool

	names     map[string]int // the part that has the file name of a script
	configs   []config
	scripts   []script
	boothooks []guest.Part
	unchecked []guest.TypedPart
}

// Parse reads user data and checks all of it; name is its name in messages, a file or a setting. ignore names what is a
// warning instead of an error: IgnoreParts, IgnoreBoothooks, or a top-level key of cloud-config. With an error, the
// program is not complete.
func Parse(name string, content []byte, ignore []string) (guest.Program, problem.List) {
	r := &reader{name: name, ignore: ignore, left: MaxSize, padding: 1 << 20, names: map[string]int{}}
	r.read(content)
	program := r.program()
	r.problems.Sort()
	return program, slices.Compact(r.problems)
}

func (r *reader) errorf(line int, format string, args ...any) {
	r.problems.Errorf(r.name, line, 0, format, args...)
}

// read finds the form of user data, as convert_string of cloudinit/user_data.py does.
func (r *reader) read(content []byte) {
	content = decodeWhole(content)
	if isGzip(content) {
		plain, err := gunzip(content, &r.left)
		if err != nil {
			r.errorf(0, "decompress the user data: %v", err)
			return
		}
		content = plain
	}
	switch {
	case len(content) > MaxSize:
		r.errorf(0, "the user data is larger than %d bytes", MaxSize)
	case len(bytes.TrimSpace(content)) == 0:
		r.errorf(0, "the user data is empty")
	case isGzip(content):
		r.errorf(0, "the user data is compressed twice, and cloud-init decompresses it once: compress it once")
	case bytes.HasPrefix(content, []byte("\ufeff")):
		r.errorf(1, "begins with a byte order mark, which hides the first line from cloud-init: save it as UTF-8 "+
			"without BOM")
	case isMessage(content):
		r.message(content)
	default:
		r.whole(content)
	}
}

// isMessage reports whether cloud-init parses the content as a MIME message.
func isMessage(content []byte) bool {
	const searched = 4096
	return bytes.Contains(bytes.ToLower(content[:min(searched, len(content))]), []byte("mime-version:"))
}

// whole reads user data that is one part.
func (r *reader) whole(content []byte) {
	kind := typeOf(content)
	if kind == "" {
		r.unknownText(content)
		return
	}
	r.part(part{kind: kind, content: content, file: r.name, line: 1})
}

// unknownText reports user data that cloud-init ignores, since it begins with nothing it knows.
func (r *reader) unknownText(content []byte) {
	first := firstLine(content)
	line := 1 + bytes.Count(content[:len(content)-len(bytes.TrimLeftFunc(content, unicode.IsSpace))], []byte("\n"))
	lower := strings.ToLower(first)
	remedy := "make the first line #cloud-config, or \"#!\" and an interpreter"
	switch {
	case strings.HasPrefix(lower, "content-type:") || strings.HasPrefix(lower, "content-disposition:"):
		remedy = "a MIME message needs a header \"MIME-Version: 1.0\""
	case strings.HasPrefix(strings.ReplaceAll(lower, " ", ""), "#cloud-config"),
		strings.HasPrefix(strings.ReplaceAll(lower, "_", "-"), "#cloud-config"), strings.HasPrefix(lower,
			"#cloudconfig"),
		strings.HasPrefix(lower, "cloud-config"):
		remedy = "write #cloud-config"
	case strings.HasPrefix(lower, "##"):
		remedy = "write ## template: jinja"
	case strings.HasPrefix(first, "#") && beginsPartLater(content):
		remedy = "nothing may be before the first line that says what it is"
	}
	r.problems.Errorf(r.name, line, 1, "is nothing cloud-init reads, because it begins with %q: %s", first, remedy)
}

// beginsPartLater reports whether one of the next lines looks like the first line of a part.
func beginsPartLater(content []byte) bool {
	for line := range strings.Lines(string(content[:min(len(content), 1<<14)])) {
		if beginsPart(line) {
			return true
		}
	}
	return false
}

// message reads user data that is a MIME message.
func (r *reader) message(content []byte) {
	m := parseMessage(string(content))
	r.several = len(m.parts) > 0
	if len(m.headers) == 0 {
		// Text with MIME-Version somewhere inside, such as a script that sends mail. cloud-init parses it as a message
		// without headers.
		if typeOf(content) == "" {
			r.unknownText(content)
			return
		}
	}
	if n := len(m.parts); n > 0 && strings.HasPrefix(m.boundary, "bakery-") && m.parts[n-1].fileName() == "bakery.sh" {
		r.errorf(1, "is the user data of a bundle, which has a guest program of its own: give its folder as bundle")
		return
	}
	r.walk(m)
}

// walk reads the parts of a message in their order.
func (r *reader) walk(m *message) {
	if m.tooManyHeaders {
		r.errorf(m.line, "there are more than %d headers here", maxHeaders)
		return
	}
	if !strings.HasPrefix(m.contentType(), "multipart/") {
		r.leaf(m)
		return
	}
	if r.multiparts++; r.multiparts > maxParts && !r.stopped {
		r.errorf(m.line, "there are more than %d multiparts", maxParts)
		r.stopped = true
	}
	if r.stopped {
		return
	}
	r.checkMultipart(m)
	for _, child := range m.parts {
		r.walk(child)
	}
}

// checkMultipart reports what of a multipart cloud-init does not read.
func (r *reader) checkMultipart(m *message) {
	switch {
	case m.tooDeep:
		r.errorf(m.line, "a multipart is nested more than %d levels deep", maxDepth)
	case m.boundary == "":
		r.ignored(m.line, "a multipart has no boundary in its Content-Type, so cloud-init would ignore all of it: add "+
			"boundary=\"...\"")
	case len(m.parts) == 0:
		r.ignored(m.line, "no line is \"--%s\", the boundary that the Content-Type of this multipart says, so "+
			"cloud-init would ignore all of it", shorten(m.boundary))
	case m.unclosed:
		r.problems.Warnf(r.name, m.line, 0, "the last line of the multipart, \"--%s--\", is missing: is the user data "+
			"cut off?", shorten(m.boundary))
	}
	r.checkOutside(m.preamble, m.preambleLine, "before the first part")
	r.checkOutside(m.epilogue, m.epilogueLine, "after the end of the multipart")
}

// checkOutside reports text of a multipart that is in no part and seems to be meant as one.
func (r *reader) checkOutside(text string, first int, where string) {
	number := first
	for line := range strings.Lines(text) {
		lower := strings.ToLower(line)
		if beginsPart(line) || strings.HasPrefix(line, "--") || strings.HasPrefix(lower, "content-type:") {
			r.ignored(number, "what is %s is ignored by cloud-init: %q", where, shorten(strings.TrimSpace(line)))
			return
		}
		number++
	}
	if strings.TrimSpace(text) != "" && where != "before the first part" {
		r.problems.Warnf(r.name, first, 0, "the text %s is ignored by cloud-init", where)
	}
}

// ignored reports something of a message that cloud-init ignores.
func (r *reader) ignored(line int, format string, args ...any) {
	if slices.Contains(r.ignore, IgnoreParts) {
		r.problems.Warnf(r.name, line, 0, format, args...)
		return
	}
	r.problems.Errorf(r.name, line, 0, format, args...)
}

func shorten(text string) string {
	const limit = 60
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "..."
	}
	return text
}

// title returns the name of a part for reports and messages: "user data", or "user data part 2" when there are several.
func (r *reader) title(number int) string {
	if !r.several {
		return "user data"
	}
	return fmt.Sprintf("user data part %d", number)
}
