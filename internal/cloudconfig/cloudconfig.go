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

	root     *yaml.Node // a mapping without aliases, comments, runcmd, bootcmd and reserved keys
	commands []Command  // its runcmd
	bootcmd  []Command
	mergeHow *yaml.Node // its merge_how or merge_type, nil when it has none
}

// Commands returns the part's runcmd.
func (d *Document) Commands() []Command { return d.commands }

// LaunchIndex returns the part's launch-index, or "".
func (d *Document) LaunchIndex() string {
	if _, value := entry(d.root, "launch-index"); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}

// Remove removes a top-level key, runcmd or bootcmd.
func (d *Document) Remove(key string) {
	switch key {
	case "runcmd":
		d.commands = nil
	case "bootcmd":
		d.bootcmd = nil
	}
	removeEntry(d.root, key)
}

// Keys returns the top-level keys of the part, in the order they are written and bootcmd last, without runcmd.
func (d *Document) Keys() []string {
	var keys []string
	for i := 0; i+1 < len(d.root.Content); i += 2 {
		keys = append(keys, d.root.Content[i].Value)
	}
	if len(d.bootcmd) > 0 {
		keys = append(keys, "bootcmd")
	}
	return keys
}

// Command is one item of a part's runcmd or bootcmd.
type Command struct {
	Index  int    // in its part's list as written, from 0
	Script string // POSIX sh: a string item verbatim, a list item with every word quoted
}

// Commands is the runcmd of one part.
type Commands struct {
	Part     string // such as "60_app.cfg"
	Commands []Command
}

// Options say what is different about a part.
type Options struct {
	// Ignore names top-level keys: what is wrong with them, or that cloud-init does not know them, is a warning. With
	// IgnoreUnknownKeys, that of all keys is.
	Ignore []string
	// UserData says that the part is user data somebody wrote for cloud-init alone. Its power_state is left out with a
	// warning. Its merge_how is kept for [Document.MergeHow] without a warning.
	UserData bool
}

// IgnoreUnknownKeys is the name in Options.Ignore for all keys that cloud-init does not know.
const IgnoreUnknownKeys = "unknown_keys"

// Parse parses and checks one part of an Image-Source; path is its name in messages. The document is never nil. It is
// empty when the content cannot be parsed, so that the caller can continue with the other parts.
func Parse(path string, content []byte) (*Document, problem.List) {
	return ParseWith(path, content, Options{})
}

// ParseWith is Parse with options.
func ParseWith(path string, content []byte, o Options) (*Document, problem.List) {
	p := &part{path: path, lines: strings.Split(string(content), "\n"), userData: o.UserData, joinable: 4 << 20,
		ignoreUnknown: slices.Contains(o.Ignore, IgnoreUnknownKeys)}
	doc := &Document{Path: path, root: &yaml.Node{Kind: yaml.MappingNode}}
	if !p.fits(content) || !p.readable(content) {
		return doc, p.problems
	}
	tree := p.decode(content)
	if tree == nil {
		return doc, p.problems
	}
	p.shared = sharedKeys(tree)
	doc.root = p.clean(tree)
	all := &yaml.Node{Kind: yaml.MappingNode, Content: slices.Clone(doc.root.Content)}
	doc.commands = p.commandList("runcmd", removeEntry(doc.root, "runcmd"))
	doc.bootcmd = p.commandList("bootcmd", removeEntry(doc.root, "bootcmd"))
	doc.mergeHow = p.checkReservedKeys(doc.root)
	p.checkPermissions(doc.root)
	p.checkFailures(doc.root)
	p.schema(doc.root)
	p.removeShared(doc.root)
	p.ignoreKeys(all, o.Ignore)
	p.problems.Sort()
	return doc, slices.Compact(p.problems) // an alias repeats a problem of the same place
}

// part is the state of one Parse.
type part struct {
	path     string
	lines    []string // of the source, without line ends
	problems problem.List
	userData bool // see Options
	// ignoreUnknown makes warnings of keys that cloud-init does not know.
	ignoreUnknown bool
	joinable      int             // bytes of commands that may still be parsed to find which belong together
	shared        map[string]bool // see sharedKeys

	positions map[[2]int]bool // of the first problems, as many as indexed says
	indexed   int
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
	if p.positions == nil {
		p.positions = map[[2]int]bool{}
	}
	for ; p.indexed < len(p.problems); p.indexed++ {
		found := p.problems[p.indexed]
		p.positions[[2]int{found.Line, found.Column}] = true
	}
	return p.positions[[2]int{n.Line, n.Column}]
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

// WrittenFile is a file that the part writes with write_files.
type WrittenFile struct {
	Path         string
	Line, Column int // of the path in the part
}

// WrittenFiles returns the files of the part's write_files.
func (d *Document) WrittenFiles() []WrittenFile {
	_, files := entry(d.root, "write_files")
	if files == nil || files.Kind != yaml.SequenceNode {
		return nil
	}
	var all []WrittenFile
	for _, file := range files.Content {
		if _, path := entry(file, "path"); path != nil && path.Kind == yaml.ScalarNode {
			all = append(all, WrittenFile{path.Value, path.Line, path.Column})
		}
	}
	return all
}
