// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"encoding/base64"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits on a part after its aliases are expanded. Real parts are far below them. Without limits, a few lines of
// aliases of aliases could need more memory than there is.
const (
	maxNodes = 100_000
	maxBytes = 16 << 20
	maxDepth = 100 // PyYAML on the machine recurses three Python frames for each level, and has 1000
)

// cleaner copies the tree of the parser to a tree of plain data: aliases and merge keys are expanded, comments and
// anchors removed, and no mapping has duplicate keys or tags that cloud-init does not know.
type cleaner struct {
	*part
	nodes, bytes int
	open         []*yaml.Node // anchored nodes being expanded, to detect one that contains itself
	stopped      bool         // a problem was reported after which continuing makes no sense
}

// clean returns the cleaned tree, or an empty mapping when the cleaner stopped: half a document would only cause more
// problems.
func (p *part) clean(root *yaml.Node) *yaml.Node {
	c := &cleaner{part: p}
	copied := c.node(root, 0)
	if c.stopped {
		return &yaml.Node{Kind: yaml.MappingNode, Line: root.Line, Column: root.Column}
	}
	return copied
}

func (c *cleaner) node(n *yaml.Node, depth int) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return c.alias(n, depth)
	}
	copied := &yaml.Node{Kind: n.Kind, Value: n.Value, Style: n.Style &^ yaml.FlowStyle, Line: n.Line, Column: n.Column}
	if c.nodes++; c.limitExceeded(n, depth) {
		return copied
	}
	if n.Style&yaml.TaggedStyle != 0 {
		c.tag(n, copied)
	}
	switch n.Kind {
	case yaml.ScalarNode:
		c.bytes += len(n.Value)
	case yaml.SequenceNode:
		for _, item := range n.Content {
			copied.Content = append(copied.Content, c.node(item, depth+1))
		}
	case yaml.MappingNode:
		copied.Content = c.entries(n, depth)
	}
	return copied
}

// limitExceeded reports whether a limit is exceeded, and adds a problem for the first one. Nothing is copied after
// that.
func (c *cleaner) limitExceeded(n *yaml.Node, depth int) bool {
	if c.stopped {
		return true
	}
	switch {
	case depth > maxDepth:
		c.errorAt(n, "nested more than %d levels deep, which cloud-init cannot read", maxDepth)
	case c.nodes > maxNodes:
		c.errorAt(n, "holds more than %d values once aliases are expanded", maxNodes)
	case c.bytes > maxBytes:
		c.errorAt(n, "holds more than %d MiB of text once aliases are expanded", maxBytes>>20)
	default:
		return false
	}
	c.stopped = true
	return true
}

func (c *cleaner) alias(n *yaml.Node, depth int) *yaml.Node {
	if slices.Contains(c.open, n.Alias) {
		c.errorAt(n, "alias *%s is inside of what it stands for", n.Value)
		c.stopped = true
		return &yaml.Node{Kind: yaml.ScalarNode}
	}
	c.open = append(c.open, n.Alias)
	defer func() { c.open = c.open[:len(c.open)-1] }()
	return c.node(n.Alias, depth)
}

// tag copies an explicit tag that cloud-init knows, and reports any other. `!!str 0644` becomes a quoted text.
func (c *cleaner) tag(n, copied *yaml.Node) {
	copied.Style &^= yaml.TaggedStyle
	switch tag := n.ShortTag(); {
	case n.Kind == yaml.MappingNode && tag == tagMapping, n.Kind == yaml.SequenceNode && tag == tagSequence:
	case n.Kind == yaml.ScalarNode && (tag == tagString || tag == "!"):
		copied.Style = yaml.DoubleQuotedStyle
	case n.Kind == yaml.ScalarNode && slices.Contains([]string{tagNull, tagBool, tagInt, tagFloat, tagTimestamp,
		tagBinary}, tag):
		copied.Tag = tag
		copied.Style |= yaml.TaggedStyle
		if tag == tagBinary && !isBase64(n.Value) || !matchesTag(tag, n.Value) {
			c.errorAt(n, "%q is not a value of type %s", shorten(n.Value), tag)
		}
	default:
		c.errorAt(n, "tag %s is not known to cloud-init, which would drop the whole part: remove the tag", tag)
	}
}

func isBase64(text string) bool {
	_, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	return err == nil
}

// entries copies a mapping's entries and checks its keys. The entries of merge keys come after the mapping's own.
func (c *cleaner) entries(n *yaml.Node, depth int) []*yaml.Node {
	var content []*yaml.Node
	var merged []*yaml.Node
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.ScalarNode && key.Value == "<<" && key.Style&quoted == 0 {
			merged = append(merged, c.merged(value, depth)...)
			continue
		}
		copied := c.node(key, depth+1)
		if copied.Kind != yaml.ScalarNode {
			c.errorAt(key, "a key is %s, but cloud-init knows only plain keys: quote it if it is meant as text",
				describe(copied))
			continue
		}
		if isNull(copied) {
			c.errorAt(key, "a key is empty: write one before the colon, or quote it if it is meant as text")
			continue
		}
		if first := seen[copied.Value]; first != nil {
			c.errorAt(key, "key %q is here a second time, first in line %d: YAML would silently drop the first, "+
				"join them", shorten(key.Value), first.Line)
			continue
		}
		seen[copied.Value] = copied
		content = append(content, copied, c.node(value, depth+1))
	}
	for i := 0; i+1 < len(merged); i += 2 {
		if seen[merged[i].Value] == nil {
			seen[merged[i].Value] = merged[i]
			content = append(content, merged[i], merged[i+1])
		}
	}
	return content
}

// merged returns the entries that a merge key ("<<") adds: those of a mapping, or of a list of mappings, of which an
// earlier one has precedence.
func (c *cleaner) merged(value *yaml.Node, depth int) []*yaml.Node {
	copied := c.node(value, depth+1)
	switch copied.Kind {
	case yaml.MappingNode:
		return copied.Content
	case yaml.SequenceNode:
		var content []*yaml.Node
		for _, item := range copied.Content {
			if item.Kind != yaml.MappingNode {
				c.errorAt(value, "merge key << needs a mapping or a list of mappings, but an item is %s",
					describe(item))
				return nil
			}
			content = append(content, item.Content...)
		}
		return content
	}
	c.errorAt(value, "merge key << needs a mapping or a list of mappings, but this is %s", describe(copied))
	return nil
}

// shorten shortens a value for a message.
func shorten(text string) string {
	const limit = 60
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "..."
	}
	return text
}
