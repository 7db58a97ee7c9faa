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

// render writes a merged mapping as a cloud-config of ASCII: user data passes through MIME, shells and consoles, and an
// escape survives all of them.
func render(root *yaml.Node) []byte {
	var b bytes.Buffer
	b.WriteString(Header + "\n")
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(dress(root)); err != nil {
		panic(fmt.Sprintf("write a checked YAML tree: %v", err)) // every tag and every byte was checked by Parse
	}
	return escape(b.Bytes())
}

// dress gives every scalar the style it is safely written in.
func dress(n *yaml.Node) *yaml.Node {
	dressed := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value}
	for _, child := range n.Content {
		dressed.Content = append(dressed.Content, dress(child))
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

// plainScalar matches what can be written without quotes anywhere. It is narrower than YAML, but holds every value that is not
// text to PyYAML: what it leaves out means the same in quotes.
var plainScalar = regexp.MustCompile(`^(~|[-+.]?[0-9A-Za-z_/][0-9A-Za-z_.:+/@=, -]*)?$`)

func isPlain(value string) bool {
	return plainScalar.MatchString(value) && !strings.Contains(value, ": ") && !strings.HasSuffix(value, ":") && !strings.HasSuffix(value, " ")
}

// isText tells whether a value is best read as a block of lines. The encoder itself falls back to quotes where trailing
// blanks do not allow a block; a first line that is indented needs an indicator not every YAML reader agrees on.
func isText(value string) bool {
	return strings.Contains(value, "\n") && !strings.ContainsAny(value[:1], " \t\n") && isASCII(value)
}

func isASCII(value string) bool {
	return strings.IndexFunc(value, func(r rune) bool { return (r < ' ' && r != '\n' && r != '\t') || r > '~' }) < 0
}

// escape writes characters beyond ASCII as YAML escapes. They are only in double quotes, dress saw to that.
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
