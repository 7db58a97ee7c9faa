// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package cloudconfig parses, checks and merges the cloud-config parts of an Image-Source.
//
// Parts are merged when they are compiled, because cloud-init does not merge them: it replaces each top-level key of an
// earlier part by that of a later part (measured on 19.3 to 25.1). [Merge] appends lists in priority order, merges
// maps, and uses the later of two scalars, with a warning.
//
// YAML is read as cloud-init reads it, which is YAML 1.1 by PyYAML: `yes` is a boolean and `0644` an octal number. The
// source text of a scalar does not change, so the machine reads what the part says.
//
// A part that begins with "## template: jinja" is refused. It can only be rendered on the machine, from data that does
// not exist when it is compiled, so it cannot be merged. A "#!" part that reads `cloud-init query` can do the same.
//
// The package is pure: bytes in, bytes and problems out. It reads no files, runs nothing, and may not know AWS or
// Packer.
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

	root     *yaml.Node // a mapping without aliases, comments, runcmd and reserved keys
	commands []Command  // its runcmd
}

// Keys returns the top-level keys of the part, in the order they are written, without runcmd.
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

// Parse parses and checks one part; path is its name in messages. The document is never nil. It is empty when the
// content cannot be parsed, so that the caller can continue with the other parts.
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
	doc.commands = p.runcmd(removeEntry(doc.root, "runcmd"))
	p.checkReservedKeys(doc.root)
	p.checkPermissions(doc.root)
	p.schema(doc.root)
	p.problems.Sort()
	return doc, slices.Compact(p.problems) // an alias repeats a problem of the same place
}

// part is the state of one Parse.
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

// reported reports whether a problem at the node was already found.
func (p *part) reported(n *yaml.Node) bool {
	for _, found := range p.problems {
		if found.Line == n.Line && found.Column == n.Column {
			return true
		}
	}
	return false
}

// index returns the index of a key in a mapping's Content, or -1.
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

// entry returns the key and value of a mapping's entry, or nil.
func entry(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	if i := index(mapping, name); i >= 0 {
		return mapping.Content[i], mapping.Content[i+1]
	}
	return nil, nil
}

// removeEntry removes an entry from a mapping and returns its value, or nil when there is none.
func removeEntry(mapping *yaml.Node, name string) *yaml.Node {
	i := index(mapping, name)
	if i < 0 {
		return nil
	}
	value := mapping.Content[i+1]
	mapping.Content = slices.Delete(mapping.Content, i, i+2)
	return value
}

// jinja reports whether content is a template. cloud-init ignores case.
func jinja(content []byte) bool {
	first, _, _ := bytes.Cut(bytes.TrimSpace(content), []byte("\n"))
	return strings.HasPrefix(strings.ToLower(string(first)), "## template: jinja")
}
