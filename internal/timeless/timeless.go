// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package timeless removes from texts what differs in each build, so that they can be compared: names of images, their
// tags and descriptions. It is pure. All it may know of builds is that these texts may contain times and random ids.
package timeless

import (
	"regexp"
	"strings"
)

// Anytime replaces a time, a UUID or a bake's id. In a filter of EC2 it matches any of them. The name of an image
// cannot contain it.
const Anytime = "*"

// Text returns a text with all times, UUIDs and, unless it is empty, the id of the bake replaced by Anytime.
//
// Packer has rendered names before this plugin sees them, so times are recognised by their form alone: year, month and
// day, and hours, minutes, seconds and zone after them, with or without separators; and seconds, milliseconds or
// nanoseconds since 1970. A version such as 2026.11.21 counts as a time too.
func Text(text, bakeID string) string {
	if bakeID != "" {
		text = strings.ReplaceAll(text, bakeID, Anytime)
	}
	text = uuids.ReplaceAllString(text, Anytime)
	var b strings.Builder
	for text != "" {
		at := moments.FindStringIndex(text)
		if at == nil {
			break
		}
		start, end := at[0], at[1]
		if inNumber(text, start, end) { // digits after the date may be another number, and no time of day
			end = start + len(date.FindString(text[start:]))
		}
		if end > start && !inNumber(text, start, end) {
			b.WriteString(text[:start] + Anytime)
		} else {
			for end = start; end < len(text) && isDigit(text[end]); end++ {
			}
			b.WriteString(text[:end])
		}
		text = text[end:]
	}
	return b.String() + text
}

// inNumber reports whether a part of a text is only a part of a longer number.
func inNumber(text string, start, end int) bool {
	return start > 0 && isDigit(text[start-1]) || end < len(text) && isDigit(text[end])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

var (
	uuids   = regexp.MustCompile(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`)
	date    = regexp.MustCompile(`^` + calendar)
	moments = regexp.MustCompile(calendar + `(` + clock + `)?|` + epoch)
)

const (
	calendar = `20[0-9]{2}[-._/ ]?(0[1-9]|1[0-2])[-._/ ]?(0[1-9]|[12][0-9]|3[01])`
	clock    = `[T_ ./@-]{0,3}([01][0-9]|2[0-3])([-:._h]?[0-5][0-9]([-:._m]?[0-5][0-9]([.,][0-9]{1,9})?)?)?` +
		`( ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2})\b)?`
	epoch = `1[0-9]{9}([0-9]{3}|[0-9]{9})?`
)
