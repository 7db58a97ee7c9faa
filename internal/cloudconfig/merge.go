// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"cmp"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// Merged is the result of Merge.
type Merged struct {
	Config []byte     // "#cloud-config\n" and YAML without runcmd; ASCII; the same bytes for the same parts
	Runcmd []Commands // in priority order, one for each part that has any
	Keys   []string   // top-level keys of Config, sorted
}

// Merge merges parts, which are in priority order. Lists append, maps merge, a later scalar replaces an earlier one
// with a warning that names both places, and an empty value changes nothing. Top-level keys are sorted, because
// cloud-init runs its modules in its own order. Deeper keys stay in their order, which matters to some modules.
func Merge(docs []*Document) (*Merged, problem.List) {
	m := &merger{origin: map[*yaml.Node]string{}}
	root := &yaml.Node{Kind: yaml.MappingNode}
	merged := &Merged{}
	bootcmd := bootScript{}
	for _, doc := range docs {
		m.path = doc.Path
		m.mapping(root, doc.root, "")
		if len(doc.commands) > 0 {
			merged.Runcmd = append(merged.Runcmd, Commands{Part: path.Base(doc.Path), Commands: doc.commands})
		}
		bootcmd.add(path.Base(doc.Path), doc.bootcmd)
	}
	bootcmd.appendTo(root)
	merged.Keys = sortKeys(root)
	merged.Config = render(root)
	return merged, m.problems
}

type merger struct {
	path     string                // of the part being merged
	origin   map[*yaml.Node]string // the path of the part that each value of the result comes from
	problems problem.List
}

// mapping merges the entries of a mapping into another; parent is the key path of both, "" at the top.
func (m *merger) mapping(into, from *yaml.Node, parent string) {
	for i := 0; i+1 < len(from.Content); i += 2 {
		key, value := from.Content[i], from.Content[i+1]
		keyPath := key.Value
		if parent != "" {
			keyPath = parent + "." + key.Value
		}
		at := index(into, key.Value)
		if at < 0 {
			into.Content = append(into.Content, key, m.copyOf(value))
			continue
		}
		into.Content[at+1] = m.value(into.Content[at+1], value, keyPath)
	}
}

// value merges two values of the same key.
func (m *merger) value(earlier, later *yaml.Node, keyPath string) *yaml.Node {
	switch {
	case isNull(earlier):
		return m.copyOf(later)
	case earlier.Kind == yaml.MappingNode && later.Kind == yaml.MappingNode:
		m.mapping(earlier, later, keyPath)
		return earlier
	case earlier.Kind == yaml.SequenceNode && later.Kind == yaml.SequenceNode:
		earlier.Content = append(earlier.Content, later.Content...)
		return earlier
	case isNull(later):
		m.warn(later, "%s is empty here, so what %s:%d:%d says stays", keyPath, m.origin[earlier], earlier.Line,
			earlier.Column)
		return earlier
	case earlier.Kind == yaml.ScalarNode && later.Kind == yaml.ScalarNode && earlier.Value == later.Value &&
		typeOf(earlier) == typeOf(later):
		return earlier
	}
	what := "is set again and wins over"
	if earlier.Kind != later.Kind {
		what = "is " + describe(later) + " and replaces " + describe(earlier) + " of"
	}
	m.warn(later, "%s %s %s:%d:%d", keyPath, what, m.origin[earlier], earlier.Line, earlier.Column)
	return m.copyOf(later)
}

func (m *merger) warn(n *yaml.Node, format string, args ...any) {
	m.problems.Warnf(m.path, n.Line, n.Column, format, args...)
}

// copyOf copies a value and records the part it comes from. Merging changes the copy, but not the documents.
func (m *merger) copyOf(n *yaml.Node) *yaml.Node {
	copied := *n
	copied.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		copied.Content[i] = m.copyOf(child)
	}
	m.origin[&copied] = m.path
	return &copied
}

// sortKeys sorts a mapping's entries by key and returns the keys.
func sortKeys(mapping *yaml.Node) []string {
	type pair struct{ key, value *yaml.Node }
	var pairs []pair
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		pairs = append(pairs, pair{mapping.Content[i], mapping.Content[i+1]})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.key.Value, b.key.Value) })
	var keys []string
	mapping.Content = nil
	for _, p := range pairs {
		keys = append(keys, p.key.Value)
		mapping.Content = append(mapping.Content, p.key, p.value)
	}
	return keys
}
