// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The types of scalars, as PyYAML's SafeLoader resolves them (lib/yaml/resolver.py, YAML 1.1). go-yaml has other rules:
// for it, `yes` is text and 0o644 a number.
const (
	tagNull      = "!!null"
	tagBool      = "!!bool"
	tagInt       = "!!int"
	tagFloat     = "!!float"
	tagTimestamp = "!!timestamp"
	tagString    = "!!str"
	tagBinary    = "!!binary"
	tagMapping   = "!!map"
	tagSequence  = "!!seq"
)

var resolvers = []struct {
	tag     string
	pattern *regexp.Regexp
}{
	{tagNull, regexp.MustCompile(`^(?:~|null|Null|NULL|)$`)},
	{tagBool, regexp.MustCompile(`^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$`)},
	{
		tagInt,
		regexp.MustCompile(
			`^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|` +
				`[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$`,
		),
	},
	{
		tagFloat,
		regexp.MustCompile(
			`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|` +
				`[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`,
		),
	},
	{
		tagTimestamp,
		regexp.MustCompile(
			`^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|` +
				`[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?` +
				`(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9][0-9])?))?)$`,
		),
	},
}

// typeOf returns the type of a scalar for cloud-init, as a short tag.
func typeOf(n *yaml.Node) string {
	switch {
	case n.Style&yaml.TaggedStyle != 0:
		return n.ShortTag()
	case n.Style&quoted != 0:
		return tagString
	}
	for _, r := range resolvers {
		if r.pattern.MatchString(n.Value) {
			return r.tag
		}
	}
	return tagString
}

const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

// matchesTag reports whether a scalar's text is valid for its explicit tag. Otherwise PyYAML rejects the whole part.
func matchesTag(tag, text string) bool {
	for _, r := range resolvers {
		if r.tag == tag {
			return r.pattern.MatchString(text)
		}
	}
	return true
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && typeOf(n) == tagNull }

// isTrue returns the value of a scalar of type !!bool.
func isTrue(n *yaml.Node) bool {
	switch strings.ToLower(n.Value) {
	case "yes", "true", "on":
		return true
	}
	return false
}

// describe returns the type of a node for a message.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch typeOf(n) {
	case tagNull:
		return "empty"
	case tagBool:
		return "a boolean"
	case tagInt, tagFloat:
		return "a number"
	case tagTimestamp:
		return "a date"
	case tagBinary:
		return "binary"
	default:
		return "a text"
	}
}
