// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/amibakery/packer-plugin-bakery/internal/cloudconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// part is one part of user data, decoded.
type part struct {
	number   int
	kind     string // its type
	fileName string // as it says; empty when it has none
	content  []byte
	// file, line and indent are where its content begins, for messages: lines of content are counted from line.
	file   string
	line   int
	indent int
	// mergeType is the header that says how a cloud-config is merged, launchIndex which machines it is for.
	mergeType, launchIndex string
	nested                 bool // in an archive: cloud-init does not look at its first line, or what it includes
}

// leaf decodes a part of a message, and finds its type as _process_msg of cloudinit/user_data.py does.
func (r *reader) leaf(m *message) {
	p := part{
		kind: m.contentType(), fileName: m.fileName(), file: r.name, line: m.bodyLine,
		launchIndex: m.header("Launch-Index"),
	}
	if p.mergeType = m.header("Merge-Type"); p.mergeType == "" {
		p.mergeType = m.header("X-Merge-Type")
	}
	if !r.begin(&p) {
		return
	}
	content, same, err := decodeTransfer(m.body, m.header("Content-Transfer-Encoding"))
	if err != nil {
		r.partErrorf(p, m.line, "%v", err)
		return
	}
	if p.content = content; !same {
		p.file, p.line = r.elsewhere(p), 1
	}
	if !r.checkLeaf(p, m) {
		return
	}
	if slices.Contains(gzipTypes, p.kind) && !r.decompress(&p, m.line) {
		return
	}
	if found := typeOf(p.content); found != "" {
		switch p.kind {
		case typePlain, typeNotMultipart:
			p.kind = found
		case typeScript:
			if found != typeScript {
				r.warnf(p, m.line, "its Content-Type is %s, but it begins with %q and is read as that", typeScript,
					firstLine(p.content))
			}
			p.kind = found
		}
	}
	r.part(p)
}

// begin numbers a part. It returns false when there are too many.
func (r *reader) begin(p *part) bool {
	if r.stopped {
		return false
	}
	r.count++
	p.number = r.count
	switch {
	case r.count > maxParts:
		r.errorf(p.line, "there are more than %d parts", maxParts)
		r.stopped = true
	case r.broken > maxBroken:
		r.errorf(p.line, "more than %d parts have problems: the others are not checked", maxBroken)
		r.stopped = true
	}
	return !r.stopped
}

// checkLeaf reports what is wrong with a part before its content is looked at.
func (r *reader) checkLeaf(p part, m *message) bool {
	for _, h := range m.headers {
		if cloudconfig.IsKey(h.name) {
			r.partErrorf(p, h.line, "%q is read as a header of MIME and not as a key: put a blank line before the "+
				"cloud-config", h.name+":")
			return false
		}
	}
	if line, ok := hiddenPart(m.body); ok {
		r.partErrorf(p, m.bodyLine+line, "what looks like the beginning of another part is in its content: its line "+
			"is not the boundary that the multipart says")
		return false
	}
	if at := strings.IndexFunc(m.body, func(c rune) bool { return c >= utf8.RuneSelf }); at >= 0 {
		r.partErrorf(p, m.bodyLine+strings.Count(m.body[:at], "\n"), "a character is not ASCII, which cloud-init "+
			"damages in MIME: encode the part with Content-Transfer-Encoding: base64")
		return false
	}
	if strings.HasPrefix(p.kind, "message/") {
		r.partErrorf(p, m.line, "is a message within a message (%s), which cloud-init ignores", p.kind)
		return false
	}
	return true
}

// hiddenPart finds lines in a body that are a boundary, headers and the first line of a part, and returns the offset of
// the first in lines.
func hiddenPart(body string) (line int, found bool) {
	boundary, inHeaders, type_ := -1, false, false
	number := 0
	for text := range strings.Lines(body) {
		trimmed := strings.TrimRight(text, "\r\n")
		switch {
		case strings.HasPrefix(trimmed, "--"):
			boundary, inHeaders, type_ = number, true, false
		case inHeaders && trimmed == "":
			inHeaders = false
		case inHeaders:
			type_ = type_ || strings.HasPrefix(strings.ToLower(trimmed), "content-type:")
			inHeaders = isHeaderLine(text)
		case boundary >= 0 && type_ && trimmed == "":
		case boundary >= 0:
			if type_ && beginsPart(trimmed) {
				return boundary, true
			}
			boundary = -1
		}
		number++
	}
	return 0, false
}

// decompress decompresses a part whose type says that it is gzip.
func (r *reader) decompress(p *part, line int) bool {
	plain, err := gunzip(p.content, &r.left)
	switch {
	case err != nil:
		r.partErrorf(*p, line, "cannot be decompressed, as its type %s says: %v", p.kind, err)
		return false
	case bytes.ContainsFunc(plain, func(c rune) bool { return c >= utf8.RuneSelf }):
		r.partErrorf(*p, line, "has characters that are not ASCII when it is decompressed, which cloud-init damages: "+
			"encode the part with Content-Transfer-Encoding: base64 and do not compress it, or compress the whole "+
			"user data")
		return false
	}
	p.content, p.kind, p.file, p.line = plain, typePlain, r.elsewhere(*p), 1
	return true
}

// elsewhere is the name in messages of the content of a part that is not in the user data as it is.
func (r *reader) elsewhere(p part) string {
	if !r.several {
		return r.name
	}
	return fmt.Sprintf("%s (%s, decoded)", r.name, p.label())
}

// label is the name of a part in messages.
func (p part) label() string {
	if p.fileName != "" {
		return fmt.Sprintf("part %d, %s", p.number, shorten(printable(p.fileName)))
	}
	return fmt.Sprintf("part %d", p.number)
}

func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
}

// partErrorf reports a part that cloud-init drops, at a line of the user data, or at none.
func (r *reader) partErrorf(p part, line int, format string, args ...any) {
	r.broken++
	r.ignored(line, "%s", r.prefix(p)+fmt.Sprintf(format, args...))
}

func (r *reader) warnf(p part, line int, format string, args ...any) {
	r.problems.Warnf(r.name, line, 0, "%s", r.prefix(p)+fmt.Sprintf(format, args...))
}

func (r *reader) prefix(p part) string {
	if !r.several {
		return ""
	}
	return p.label() + ": "
}

// sourceLine is the line of a part for a message of the part as a whole. It is 0 where the part is not in the user
// data.
func (r *reader) sourceLine(p part) int {
	if p.file != r.name {
		return 0
	}
	return p.line
}

// add adds problems of a part's content. Their lines are counted from the first of the content.
func (r *reader) add(p part, problems problem.List, ignored bool) {
	for _, one := range problems {
		if one.Line > 0 {
			one.Line += p.line - 1
		}
		if one.Column > 0 {
			one.Column += p.indent
		}
		if ignored {
			one.Severity = problem.Warning
		}
		r.problems = append(r.problems, one)
	}
	if problems.Err() != nil {
		r.broken++
	}
}

// mimeType matches a type that can be written to a header.
var mimeType = regexp.MustCompile(`^[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+$`)

// part checks a part and keeps what becomes of it.
func (r *reader) part(p part) {
	if p.number == 0 && !r.begin(&p) {
		return
	}
	line := r.sourceLine(p)
	switch {
	case !mimeType.MatchString(p.kind):
		r.partErrorf(p, line, "has the type %q, which is no MIME type%s", shorten(printable(p.kind)),
			nearestType(p.kind))
		return
	case len(bytes.TrimSpace(p.content)) == 0:
		r.partErrorf(p, line, "is empty")
		return
	case isGzip(p.content):
		r.partErrorf(p, line, "is gzip, but its Content-Type is %s, with which cloud-init does not decompress it: "+
			"make it application/gzip", p.kind)
		return
	case p.launchIndex != "" && !isZero(p.launchIndex):
		r.otherMachine(p, p.launchIndex)
		return
	}
	if (p.kind == typeInclude || p.kind == typeIncludeOnce) && !p.nested {
		r.include(p)
		return
	}
	if p.kind == typeArchive && !p.nested {
		r.archive(p)
		return
	}
	r.attached++
	switch p.kind {
	case typeCloudConfig:
		r.cloudConfig(p)
	case typeScript:
		r.script(p)
	case typeBoothook:
		r.boothook(p)
	case typeJinja:
		r.jinja(p)
	default:
		r.other(p)
	}
}

// otherMachine reports a part for another of the machines that are launched at once
// (cloudinit/filters/launch_index.py).
func (r *reader) otherMachine(p part, index string) {
	r.partErrorf(p, r.sourceLine(p), "is for the machine with launch index %q of several, and a bake launches one, "+
		"whose index is 0: cloud-init would drop it", shorten(printable(index)))
}

// isZero reports whether Python's int() of a text is 0.
func isZero(text string) bool {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	return err == nil && n == 0
}

// other keeps the parts that cannot be checked, and reports those of types that cloud-init ignores.
func (r *reader) other(p part) {
	line := r.sourceLine(p)
	switch p.kind {
	case typePartHandler:
		r.fetches = true
		r.keep(p, "a part handler is Python that runs inside of cloud-init: it is not checked, and neither are the "+
			"parts it handles")
	case typeJSONPatch:
		r.keep(p, "a JSON patch is applied on the machine: it is not checked, and it does not see the runcmd of the "+
			"other parts")
	case typePerBoot, typePerInstance, typePerOnce:
		p.content = dos2unix(p.content)
		r.add(p, imagesource.CheckScript(p.file, p.content), slices.Contains(r.ignore, IgnoreParts))
		r.keep(p, "a script that cloud-init runs again on later boots, or on each machine, is run by "+
			"cloud-init, from 22.1 on; a failure of it is only found in cloud-init's result")
	case typeUpstart:
		r.partErrorf(p, line, "is a job for upstart, which no distribution has any more: make it a unit of systemd")
	case typeInclude, typeIncludeOnce, typeArchive:
		r.partErrorf(p, line, "is %s within a cloud-config-archive, which cloud-init ignores: make it a part of a "+
			"MIME multipart", p.kind)
	case typePlain, typeNotMultipart:
		if p.nested {
			r.partErrorf(p, line, "has the type %s, and cloud-init does not look at what a part of an archive begins "+
				"with when it has a type: write the right type, or none", p.kind)
			return
		}
		r.partErrorf(p, line, "is ignored by cloud-init: its type is %s and it begins with %q, which is nothing "+
			"cloud-init knows: make the first line #cloud-config, or \"#!\" and an "+
			"interpreter", p.kind, firstLine(p.content))
	default:
		if r.fetches {
			r.keep(p, "its type "+printable(p.kind)+" is none of cloud-init's: it is for a handler in a part before, "+
				"and is not checked")
			return
		}
		r.partErrorf(p, line, "is ignored by cloud-init, which does not know its type %s%s", printable(shorten(p.kind)),
			nearestType(p.kind))
	}
}

// keep keeps a part for cloud-init, with a warning of what that means.
func (r *reader) keep(p part, warning string) {
	r.warnf(p, r.sourceLine(p), "%s", warning)
	name := p.fileName
	if name == "" {
		// Not part-001, as cloud-init may name a part of an include.
		name = fmt.Sprintf("part-%03d-user-data", r.attached)
	}
	r.unchecked = append(r.unchecked, guest.TypedPart{Type: p.kind, Name: name, Content: p.content})
}

// include keeps a list of URLs. The machine fetches them.
func (r *reader) include(p part) {
	urls := 0
	for line := range strings.Lines(string(p.content)) {
		line = strings.TrimSpace(line)
		if lower := strings.ToLower(line); strings.HasPrefix(lower, "#include") {
			line = strings.TrimSpace(strings.TrimPrefix(line[len("#include"):], "-once"))
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			urls++
		}
	}
	if urls == 0 {
		r.partErrorf(p, r.sourceLine(p), "is an include without a URL")
		return
	}
	r.fetches = true
	r.keep(p, "an include is fetched on the machine: what it brings is not checked, cloud-init runs it before the "+
		"steps, and a failing command of its bootcmd counts only if it is the last")
}

// archive reads the parts of a cloud-config-archive.
func (r *reader) archive(p part) {
	entries, problems := cloudconfig.ParseArchive(p.file, p.content)
	r.add(p, problems, slices.Contains(r.ignore, IgnoreParts))
	if len(entries) == 0 && problems.Err() == nil {
		r.partErrorf(p, r.sourceLine(p), "is an archive without parts")
		return
	}
	r.several = true
	if len(entries) > 0 {
		r.count-- // its entries are counted
	}
	for _, e := range entries {
		one := part{
			kind: e.Type, fileName: e.Filename, content: e.Content, mergeType: e.MergeType, launchIndex: e.LaunchIndex,
			line: e.Line + p.line - 1, nested: true,
		}
		if !r.begin(&one) {
			return
		}
		if one.kind == "" {
			if one.kind = typeOf(e.Content); one.kind == "" {
				one.kind = typeCloudConfig
			}
		}
		one.file = r.elsewhere(one)
		if e.ContentLine > 0 {
			one.file, one.line, one.indent = p.file, e.ContentLine+p.line-1, e.ContentColumn-1+p.indent
		} else {
			one.line = 1
		}
		r.part(one)
	}
}
