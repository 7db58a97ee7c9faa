// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package cloudconfig parses, checks and merges the cloud-config parts of an Image-Source.
//
// Parts are merged here, while compiling, because no cloud-init can do it: left to itself it replaces each top-level key
// of an earlier part by the one of a later part (measured on 19.3 to 25.1). [Merge] appends lists in priority order,
// merges maps, and lets a later scalar win with a warning.
//
// Text is read the way cloud-init reads it, which is YAML 1.1 by PyYAML: `yes` is a boolean and `0644` an octal number.
// A scalar keeps its source text, so what the machine reads is what the part said.
//
// A part that begins with "## template: jinja" is refused. It can only be rendered on the machine, from data that does not
// exist while compiling, so it cannot be merged; a "#!" part that reads `cloud-init query` does the same job.
//
// The package is pure: bytes in, bytes and problems out. It reads no files, runs nothing, and knows no AWS and no Packer.
package cloudconfig

import (
	"bytes"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// Header is the first line of every cloud-config part.
const Header = "#cloud-config"

// Document is one parsed part.
type Document struct {
	Path string // as shown in messages, such as "cloudinit/60_app.cfg"

	root     *yaml.Node // a mapping without aliases, comments, runcmd and what bakery owns
	commands []Command  // its runcmd
}

// Keys are the top-level keys of the part, in the order they are written, without runcmd.
func (d *Document) Keys() []string {
	var keys []string
	for i := 0; i+1 < len(d.root.Content); i += 2 {
		keys = append(keys, d.root.Content[i].Value)
	}
	return keys
}

// Command is one item of a part's runcmd.
type Command struct {
	Index  int    // in its part's runcmd as written, from 0
	Script string // POSIX sh: a string item verbatim, a list item with every word quoted
}

// Commands is the runcmd of one part.
type Commands struct {
	Part     string // such as "60_app.cfg"
	Commands []Command
}

// Parse reads and checks one part; path is what messages call it. The document is never nil: where the content cannot be
// read at all it is empty, so that the caller can go on and find what is wrong with the other parts.
func Parse(path string, content []byte) (*Document, problem.List) {
	p := &part{path: path, lines: strings.Split(string(content), "\n")}
	doc := &Document{Path: path, root: &yaml.Node{Kind: yaml.MappingNode}}
	if !p.readable(content) {
		return doc, p.problems
	}
	tree := p.decode(content)
	if tree == nil {
		return doc, p.problems
	}
	doc.root = p.clean(tree)
	doc.commands = p.runcmd(take(doc.root, "runcmd"))
	p.owned(doc.root)
	p.permissions(doc.root)
	p.schema(doc.root)
	p.problems.Sort()
	return doc, slices.Compact(p.problems) // what an alias repeats is wrong in one place only
}

// part is the work of one Parse.
type part struct {
	path     string
	lines    []string // of the source, without line ends
	problems problem.List
}

func (p *part) errorf(line, column int, format string, args ...any) {
	p.problems.Errorf(p.path, line, column, format, args...)
}

func (p *part) errorAt(n *yaml.Node, format string, args ...any) {
	p.errorf(n.Line, n.Column, format, args...)
}

func (p *part) warnAt(n *yaml.Node, format string, args ...any) {
	p.problems.Warnf(p.path, n.Line, n.Column, format, args...)
}

// reported tells whether an own check has found something at the node already.
func (p *part) reported(n *yaml.Node) bool {
	for _, found := range p.problems {
		if found.Line == n.Line && found.Column == n.Column {
			return true
		}
	}
	return false
}

// index gives where in a mapping's Content a key is, -1 when the mapping has none of that name.
func index(mapping *yaml.Node, name string) int {
	if mapping.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(mapping.Content); i += 2 {
			if mapping.Content[i].Value == name {
				return i
			}
		}
	}
	return -1
}

// entry gives key and value of a mapping's entry, nil when there is none.
func entry(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	if i := index(mapping, name); i >= 0 {
		return mapping.Content[i], mapping.Content[i+1]
	}
	return nil, nil
}

// take removes an entry from a mapping and gives its value, nil when there is none.
func take(mapping *yaml.Node, name string) *yaml.Node {
	i := index(mapping, name)
	if i < 0 {
		return nil
	}
	value := mapping.Content[i+1]
	mapping.Content = slices.Delete(mapping.Content, i, i+2)
	return value
}

// jinja tells whether content asks to be rendered as a template. cloud-init compares without regard to case.
func jinja(content []byte) bool {
	first, _, _ := bytes.Cut(bytes.TrimSpace(content), []byte("\n"))
	return strings.HasPrefix(strings.ToLower(string(first)), "## template: jinja")
}
