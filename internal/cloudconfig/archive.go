// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// Entry is one part of a cloud-config-archive.
type Entry struct {
	Line, Column int // of the entry
	// Type, Filename, LaunchIndex and MergeType are empty when the entry does not say them.
	Type, Filename, LaunchIndex, MergeType string
	Content                                []byte
	// ContentLine and ContentColumn are the position in the source of the content's first character, when the content
	// is in the source unchanged but for its indentation. Otherwise ContentLine is 0.
	ContentLine, ContentColumn int
}

// ParseArchive parses a cloud-config-archive, a list of parts (cloudinit/user_data.py, _explode_archive). An entry that
// cloud-init would leave out, or that would stop it, is an error and is not returned.
func ParseArchive(path string, content []byte) ([]Entry, problem.List) {
	p := &part{path: path, lines: strings.Split(string(content), "\n")}
	if !p.fits(content) || !p.readable(content) {
		return nil, p.problems
	}
	root := p.decodeAny(content)
	switch {
	case root == nil:
		return nil, p.problems
	case root.Kind != yaml.SequenceNode:
		p.errorAt(root, "top level is %s, but a cloud-config-archive is a list, so cloud-init would ignore it: begin "+
			"each part with \"- \"", describe(root))
		return nil, p.problems
	}
	c := &cleaner{part: p}
	list := c.node(root, 0)
	if c.stopped {
		return nil, p.problems
	}
	var entries []Entry
	for _, item := range list.Content {
		if e, ok := p.entry(item); ok {
			entries = append(entries, e)
		}
	}
	return entries, p.problems
}

// entryKeys are the keys of an entry that mean something.
var entryKeys = []string{"content", "type", "filename", "launch-index", "merge-type", "x-merge-type"}

// entry reads one entry: a text, or a mapping.
func (p *part) entry(item *yaml.Node) (e Entry, ok bool) {
	e = Entry{Line: item.Line, Column: item.Column}
	switch {
	case item.Kind == yaml.ScalarNode && typeOf(item) == tagString:
		return e, p.entryContent(&e, item)
	case item.Kind != yaml.MappingNode:
		p.errorAt(item, "an entry is %s, but must be a text or a mapping with content: cloud-init would leave it out",
			describe(item))
		return e, false
	}
	ok = true
	for i := 0; i+1 < len(item.Content); i += 2 {
		key, value := item.Content[i], item.Content[i+1]
		name := key.Value
		if name == "content" {
			ok = p.entryContent(&e, value) && ok
			continue
		}
		lower := strings.ToLower(name)
		if !slices.Contains(entryKeys, lower) || lower != name && (lower == "type" || lower == "filename") {
			p.errorAt(key, "an entry has no key %q that cloud-init reads%s", shorten(name), didYouMean(lower,
				entryKeys))
			ok = false
			continue
		}
		if value.Kind != yaml.ScalarNode || lower != "launch-index" && typeOf(value) != tagString {
			p.errorAt(value, "%s is %s, but must be a text", name, describe(value))
			ok = false
			continue
		}
		e.set(lower, value.Value)
	}
	if e.Content == nil && ok {
		p.errorAt(item, "an entry has no content")
		return e, false
	}
	return e, ok
}

func (e *Entry) set(key, value string) {
	switch key {
	case "type":
		e.Type = value
	case "filename":
		e.Filename = value
	case "launch-index":
		e.LaunchIndex = value
	case "merge-type", "x-merge-type":
		e.MergeType = value
	}
}

// entryContent reads the content of an entry, and where it is.
func (p *part) entryContent(e *Entry, n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.ScalarNode && typeOf(n) == tagBinary:
		e.Content, _ = decodeBase64(n.Value) // the cleaner has checked it
		return true
	case n.Kind != yaml.ScalarNode || typeOf(n) != tagString:
		p.errorAt(n, "the content of an entry is %s, but must be a text", describe(n))
		return false
	}
	e.Content = []byte(n.Value)
	if n.Style&yaml.LiteralStyle == 0 {
		return true
	}
	first, _, _ := strings.Cut(n.Value, "\n")
	if at := strings.Index(p.line(n.Line+1), first); at >= 0 {
		e.ContentLine, e.ContentColumn = n.Line+1, at+1
	}
	return true
}
