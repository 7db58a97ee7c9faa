// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits on a part as it is written. The YAML parser needs up to 800 bytes of memory for each value, before anything of
// it can be looked at.
const (
	maxSource     = 2 << 20 // bytes
	maxSeparators = 100_000 // characters that can separate two values
)

// fits reports whether content is small enough to be parsed. When it is not, it adds an error at the line where the
// limit is passed.
func (p *part) fits(content []byte) bool {
	if len(content) > maxSource {
		p.errorf(lineAt(content, maxSource), 1, "the part is larger than %d MiB here: put large files into fs/, or "+
			"have a \"#!\" part make them", maxSource>>20)
		return false
	}
	n := 0
	for i, c := range content {
		next := byte('\n')
		if i+1 < len(content) {
			next = content[i+1]
		}
		switch {
		case c == ',' || c == '[' || c == '{':
		case (c == ':' || c == '-' || c == '?') && (next == ' ' || next == '\t' || next == '\r' || next == '\n'):
		default:
			continue
		}
		if n++; n > maxSeparators {
			p.errorf(lineAt(content, i), 1, "the part may have more than %d values up to here: put large files into "+
				"fs/, or have a \"#!\" part make them", maxSeparators)
			return false
		}
	}
	return true
}

// lineAt returns the number of the line at an offset.
func lineAt(content []byte, offset int) int { return bytes.Count(content[:offset], []byte("\n")) + 1 }

// readable reports content that is not text in YAML, with the position, which the parser would not report.
func (p *part) readable(content []byte) bool {
	if bytes.HasPrefix(content, []byte("\ufeff")) {
		p.errorf(1, 1, "begins with a byte order mark, which hides the first line from cloud-init: save it as "+
			"UTF-8 without BOM")
		return false
	}
	if jinja(content) {
		p.errorf(1, 1, "jinja templates cannot be merged, they are rendered on the machine only: write the values "+
			"out, or use a \"#!\" part that asks `cloud-init query`")
		return false
	}
	for i, line := range p.lines {
		column := 0
		for offset, r := range line {
			column++
			if r == utf8.RuneError && !utf8.ValidString(line[offset:offset+min(3, len(line)-offset)]) {
				p.errorf(i+1, column, "byte 0x%02x is not UTF-8: save the file as UTF-8", line[offset])
				return false
			}
			if !printable(r) && !(r == '\r' && offset == len(line)-1) {
				p.errorf(i+1, column, "control character U+%04X is not allowed in YAML: write it as an escape in "+
					"double quotes", r)
				return false
			}
		}
	}
	return true
}

// printable reports whether r is in YAML 1.1's c-printable, without line breaks. go-yaml and PyYAML require that.
func printable(r rune) bool {
	return r == '\t' || r >= 0x20 && r <= 0x7e || r == 0x85 || r >= 0xa0 && r <= 0xd7ff ||
		r >= 0xe000 && r <= 0xfffd && r != 0xfeff || r >= 0x10000
}

// decode parses the only YAML document of a part and returns its top-level mapping. It returns nil when the document is
// empty, or is not a mapping, which it reports.
func (p *part) decode(content []byte) *yaml.Node {
	root := p.decodeAny(content)
	if root != nil && root.Kind != yaml.MappingNode {
		p.errorAt(root, "top level is %s, but cloud-config is a mapping of keys such as \"packages:\" and \"runcmd:\"",
			describe(root))
		return nil
	}
	return root
}

// decodeAny parses the only YAML document of a part. It returns nil when the document is empty, or cannot be parsed,
// which it reports.
func (p *part) decodeAny(content []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var doc, more yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		p.syntaxError(content, err)
		return nil
	}
	if err := decoder.Decode(&more); err == nil {
		p.errorAt(&more, "a second YAML document begins here, and cloud-init reads none of a part with two: make "+
			"it a part of its own")
		return nil
	} else if !errors.Is(err, io.EOF) {
		p.syntaxError(content, err)
		return nil
	}
	root := doc.Content[0]
	if isNull(root) {
		return nil
	}
	return root
}

var (
	yamlLine      = regexp.MustCompile(`^line (\d+): `)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxError reports an error of the YAML parser, at the line of the mistake.
func (p *part) syntaxError(content []byte, err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
	}
	first := firstUnreadable(content)
	if line = max(line, first); line >= len(p.lines) || strings.Contains(message, "end of stream") {
		line = first // the parser found the mistake at the end, but it is earlier
	}
	line = min(line, len(p.lines))
	text := p.lines[line-1]
	column := utf8.RuneCountInString(text) - utf8.RuneCountInString(strings.TrimLeft(text, " \t")) + 1
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		if at := strings.Index(text, "*"+m[1]); at >= 0 {
			column = utf8.RuneCountInString(text[:at]) + 1
		}
	}
	if strings.Contains(indentation(text), "\t") {
		p.tabs(line)
		return
	}
	p.errorf(line, column, "read YAML: %s", message)
}

// firstUnreadable returns the first line that makes the content invalid, whatever follows. go-yaml returns the line
// where the surrounding mapping begins, which may be far from the mistake.
func firstUnreadable(content []byte) int {
	budget := 4 << 20 // bytes to parse at most: 0.1 s, and enough for any part whose mistake is near its end
	ends := lineEnds(content)
	for i := len(ends) - 1; i >= 0 && budget > 0; i-- {
		if isYAML(content[:ends[i]]) {
			return i + 2
		}
		budget -= ends[i]
	}
	return 1
}

// isYAML reports whether all documents of the content are YAML.
func isYAML(content []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var node yaml.Node
		if err := decoder.Decode(&node); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// lineEnds returns the offset after each line except the last.
func lineEnds(content []byte) []int {
	var ends []int
	for i, c := range content {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	return ends
}

func indentation(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

// blockScalar matches a line that begins a literal or folded text, in which tabs are allowed.
var blockScalar = regexp.MustCompile(`(^|[\s:-])[|>][-+0-9]*\s*(#.*)?$`)

// tabs reports every line from the given one on that is indented with a tab and is not in a text block.
func (p *part) tabs(from int) {
	text := -1 // indentation of the line that opened the text block, -1 outside
	for i, line := range p.lines {
		indent := indentation(line)
		spaces := len(indent) - len(strings.TrimLeft(indent, " "))
		if strings.TrimSpace(line) == "" || text >= 0 && spaces > text && i+1 != from {
			continue
		}
		text = -1
		if blockScalar.MatchString(line) {
			text = spaces
		}
		if len(p.problems) > maxSuggestions {
			return
		}
		if i+1 >= from && strings.Contains(indent, "\t") {
			p.errorf(i+1, spaces+1, "indented with a tab: YAML allows only spaces, replace the tab by spaces")
		}
	}
}
