// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"bytes"
	"encoding/xml"
	"strings"
)

// success is the answer of calls that return nothing else.
const success = "<return>true</return>"

// element returns an element of XML with some content, which is XML as well.
func element(name string, content ...string) string {
	return "<" + name + ">" + strings.Join(content, "") + "</" + name + ">"
}

// value returns an element of XML with a text.
func value(name, text string) string {
	var escaped bytes.Buffer
	_ = xml.EscapeText(&escaped, []byte(text)) // a buffer returns no error
	return element(name, escaped.String())
}

// list returns items as EC2 lists them.
func list(name string, items ...string) string {
	var all strings.Builder
	for _, item := range items {
		all.WriteString(element("item", item))
	}
	return element(name, all.String())
}

func tagSet(tags map[string]string) string {
	var items []string
	for key, text := range tags {
		items = append(items, value("key", key)+value("value", text))
	}
	return list("tagSet", items...)
}
