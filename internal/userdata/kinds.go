// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"

	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// The types of parts. Source: INCLUSION_TYPES_MAP of cloudinit/handlers/__init__.py.
const (
	typeScript       = "text/x-shellscript"
	typeIncludeOnce  = "text/x-include-once-url"
	typeInclude      = "text/x-include-url"
	typeArchive      = "text/cloud-config-archive"
	typeJSONPatch    = "text/cloud-config-jsonp"
	typeCloudConfig  = "text/cloud-config"
	typeBoothook     = "text/cloud-boothook"
	typePartHandler  = "text/part-handler"
	typeJinja        = "text/jinja2"
	typeUpstart      = "text/upstart-job"
	typePerBoot      = "text/x-shellscript-per-boot"
	typePerInstance  = "text/x-shellscript-per-instance"
	typePerOnce      = "text/x-shellscript-per-once"
	typePlain        = "text/plain"
	typeNotMultipart = "text/x-not-multipart"
)

var knownTypes = []string{
	typeScript, typeIncludeOnce, typeInclude, typeArchive, typeJSONPatch, typeCloudConfig, typeBoothook,
	typePartHandler, typeJinja, typePerBoot, typePerInstance, typePerOnce,
}

// firstLines maps what content begins with to its type. Of two that begin alike, the longer is first.
var firstLines = []struct{ prefix, kind string }{
	{"#cloud-config-archive", typeArchive},
	{"#cloud-config-jsonp", typeJSONPatch},
	{"## template: jinja", typeJinja},
	{"#cloud-boothook", typeBoothook},
	{"#include-once", typeIncludeOnce},
	{"#part-handler", typePartHandler},
	{"#cloud-config", typeCloudConfig},
	{"#upstart-job", typeUpstart}, // until 22.1
	{"#include", typeInclude},
	{"#!", typeScript},
}

// typeOf finds the type of content by its first characters, or "" (cloudinit/handlers/__init__.py,
// type_from_starts_with). Blank lines before them and capitals do not matter.
func typeOf(content []byte) string {
	content = bytes.TrimLeftFunc(content, unicode.IsSpace)
	const longest = 32
	start := strings.ToLower(string(content[:min(longest, len(content))]))
	for _, l := range firstLines {
		if strings.HasPrefix(start, l.prefix) {
			return l.kind
		}
	}
	return ""
}

// beginsPart reports whether a line looks like the first of a part.
func beginsPart(line string) bool { return !startsBlank(line) && typeOf([]byte(line)) != "" }

func startsBlank(line string) bool { return line == "" || unicode.IsSpace(rune(line[0])) }

// firstLine returns the first line that is not blank, shortened for a message.
func firstLine(content []byte) string {
	content = bytes.TrimLeftFunc(content, unicode.IsSpace)
	line, _, _ := bytes.Cut(content[:min(len(content), 400)], []byte("\n"))
	const limit = 40
	text := strings.TrimSpace(strings.ToValidUTF8(string(line), "?"))
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "..."
	}
	return text
}

// nearestType returns the type that was most likely meant, as part of a message.
func nearestType(kind string) string {
	if nearest := problem.Nearest(kind, knownTypes); nearest != "" {
		return ": did you mean " + nearest + "?"
	}
	return ""
}

// jinjaLine matches the first line of a template (cloudinit/templater.py, detect_template).
var jinjaLine = regexp.MustCompile(`(?i)^##\s*template:\s*jinja\s*$`)

// splitJinja returns what follows the first line of a template; ok is false when cloud-init would not take it as one.
func splitJinja(content []byte) (rest []byte, ok bool) {
	first, rest, _ := bytes.Cut(content, []byte("\n"))
	return rest, len(first) < 80 && jinjaLine.Match(first)
}

// hasTemplate reports whether jinja would change a text.
func hasTemplate(content []byte) bool {
	for _, mark := range []string{"{{", "{%", "{#"} {
		if bytes.Contains(content, []byte(mark)) {
			return true
		}
	}
	return false
}
