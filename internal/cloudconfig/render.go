// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// render writes a merged mapping as a cloud-config in ASCII: user data passes through MIME, shells and consoles, and
// escapes are safe in all of them.
func render(root *yaml.Node) []byte {
	var b bytes.Buffer
	b.WriteString(Header + "\n")
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(withStyle(root)); err != nil {
		panic(fmt.Sprintf("write a checked YAML tree: %v", err)) // every tag and every byte was checked by Parse
	}
	return escape(b.Bytes())
}

// withStyle returns a copy in which every scalar has a style that is safe for its value.
func withStyle(n *yaml.Node) *yaml.Node {
	dressed := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value}
	for _, child := range n.Content {
		dressed.Content = append(dressed.Content, withStyle(child))
	}
	if n.Kind != yaml.ScalarNode {
		return dressed
	}
	dressed.Style = n.Style & yaml.TaggedStyle
	switch {
	case isText(n.Value):
		dressed.Style |= yaml.LiteralStyle
	case n.Style&quoted != 0 || !isPlain(n.Value):
		dressed.Style |= yaml.DoubleQuotedStyle
	}
	if n.Value == "" && dressed.Style == 0 {
		dressed.Value = "null"
	}
	return dressed
}

// plainScalar matches values that need no quotes anywhere. It matches less than YAML allows, but everything that is not
// text for PyYAML; all other values mean the same in quotes.
var plainScalar = regexp.MustCompile(`^(~|[-+.]?[0-9A-Za-z_/][0-9A-Za-z_.:+/@=, -]*)?$`)

func isPlain(value string) bool {
	return plainScalar.MatchString(value) && !strings.Contains(value, ": ") && !strings.HasSuffix(value, ":") &&
		!strings.HasSuffix(value, " ")
}

// isText reports whether a value should be written as a block of lines. The encoder itself uses quotes when trailing
// blanks do not allow a block. A first line that is indented needs an indicator that YAML parsers handle differently.
func isText(value string) bool {
	return strings.Contains(value, "\n") && !strings.ContainsAny(value[:1], " \t\n") && isASCII(value)
}

func isASCII(value string) bool {
	return strings.IndexFunc(value, func(r rune) bool { return (r < ' ' && r != '\n' && r != '\t') || r > '~' }) < 0
}

// escape writes characters beyond ASCII as YAML escapes. withStyle has put all of them in double quotes.
func escape(text []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(text) {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	return b.Bytes()
}
