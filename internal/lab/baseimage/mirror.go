// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// keyring verifies all suites. It is part of the package debian-archive-keyring, here and in the image.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// mirror is from where this computer gets Debian's packages; empty when it does not.
type mirror struct{ archive, security string }

// source is one entry of apt's configuration (sources.list(5)).
type source struct{ uris, suites []string }

// ownMirror reads apt's configuration in etc, "/etc/apt". Computers without Debian have no such mirror.
func ownMirror(etc string) mirror {
	files := []string{filepath.Join(etc, "sources.list")}
	for _, ending := range []string{"*.list", "*.sources"} {
		more, _ := filepath.Glob(filepath.Join(etc, "sources.list.d", ending)) // the pattern is right
		files = append(files, more...)
	}
	var m mirror
	for _, file := range files {
		content, _ := os.ReadFile(file) // a missing file has no entries
		parse := parseList
		if filepath.Ext(file) == ".sources" {
			parse = parseStanzas
		}
		for _, s := range parse(string(content)) {
			m.addSource(s)
		}
	}
	return m
}

// addSource sets the archive and the security archive, unless they are set.
func (m *mirror) addSource(s source) {
	uri := firstURI(s.uris)
	for _, suite := range s.suites {
		release, pocket, _ := strings.Cut(strings.ReplaceAll(suite, "/", "-"), "-")
		switch {
		case uri == "" || !isRelease(release):
		case pocket == "" && m.archive == "":
			m.archive = uri
		case (pocket == "security" || suite == release+"/updates") && m.security == "":
			m.security = uri
		}
	}
}

// firstURI returns the first URI that a machine can use, too. Debian's cloud images name a file with a list of mirrors.
func firstURI(uris []string) string {
	for _, uri := range uris {
		if file, ok := strings.CutPrefix(uri, "mirror+file:"); ok {
			list, _ := os.ReadFile(filepath.Clean("/" + strings.TrimLeft(file, "/")))
			uri, _, _ = strings.Cut(strings.TrimSpace(string(list)), "\n")
			uri, _, _ = strings.Cut(uri, "\t") // priorities and other fields
		}
		if strings.HasPrefix(uri, "http://") || strings.HasPrefix(uri, "https://") {
			return strings.TrimRight(uri, "/")
		}
	}
	return ""
}

// parseList parses the one-line format: deb [options] URI SUITE COMPONENT...
func parseList(content string) []source {
	var found []source
	for line := range strings.Lines(content) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || (rest[0] != ' ' && rest[0] != '\t') { // deb-src
			continue
		}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			_, rest, _ = strings.Cut(rest, "]")
		}
		if f := strings.Fields(rest); len(f) >= 2 {
			found = append(found, source{uris: f[:1], suites: f[1:2]})
		}
	}
	return found
}

// parseStanzas parses the deb822 format: paragraphs of "Field: value" lines.
func parseStanzas(content string) []source {
	var found []source
	fields := map[string]string{}
	end := func() {
		types := strings.Fields(fields["types"])
		if slices.Contains(types, "deb") && !strings.EqualFold(strings.TrimSpace(fields["enabled"]), "no") {
			found = append(found, source{strings.Fields(fields["uris"]), strings.Fields(fields["suites"])})
		}
		fields = map[string]string{}
	}
	last := ""
	for line := range strings.Lines(content) {
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			end()
		case line[0] == ' ' || line[0] == '\t':
			fields[last] += " " + line
		default:
			name, value, _ := strings.Cut(line, ":")
			last = strings.ToLower(name)
			fields[last] = value
		}
	}
	end()
	return found
}

// sourcesList returns the lines of sources.list for a suite: release, updates, security. Without a mirror there are
// none, and mmdebstrap uses its own.
func (m mirror) sourcesList(suite string) []string {
	if m.archive == "" {
		return nil
	}
	entry := func(uri, suite string) string {
		return "deb [signed-by=" + keyring + "] " + uri + " " + suite + " main"
	}
	lines := []string{entry(m.archive, suite), entry(m.archive, suite+"-updates")}
	if m.security != "" {
		lines = append(lines, entry(m.security, suite+"-security"))
	}
	return lines
}
