// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import "strings"

// readme reads the first paragraph of readme.md, after front matter and headings, as one line.
func (r *reader) readme() {
	if r.readmeName == "" {
		return
	}
	if content, _, ok := r.file(r.readmeName); ok {
		r.source.Readme = firstParagraph(string(content))
	}
}

func firstParagraph(text string) string {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	if rest, ok := strings.CutPrefix(text, "---\n"); ok {
		if _, body, closed := strings.Cut(rest, "\n---\n"); closed {
			text = body
		}
	}
	var words []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" && words != nil:
			return strings.Join(words, " ")
		case strings.Trim(line, "=-") == "" && line != "":
			words = nil // a horizontal rule, or the underline of a heading
		case strings.HasPrefix(line, "#"):
			if words != nil {
				return strings.Join(words, " ")
			}
		default:
			words = append(words, strings.Fields(line)...)
		}
	}
	return strings.Join(words, " ")
}
