// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/placeholder"
)

// Packer renders a build variable that the builder does not set as ERR_NAME_NOT_IMPLEMENTED_BY_BUILDER.
const (
	placeholderPrefix = "ERR_"
	placeholderSuffix = "_NOT_IMPLEMENTED_BY_BUILDER"
)

var (
	placeholderPattern = regexp.MustCompile(placeholderPrefix + `[A-Z0-9_]{1,40}?` + placeholderSuffix)
	renderedPattern    = regexp.MustCompile(placeholder.Unknown + `|` + placeholderPattern.String())
	// loweredPattern is apart from the others, because a pattern that begins with a word is a thousand times as fast as
	// one that takes letters in any case.
	loweredPattern = regexp.MustCompile(strings.ToLower(placeholderPrefix) + `[a-z0-9_]{1,40}?` +
		strings.ToLower(placeholderSuffix))
)

// Placeholder returns the text that stands for a build variable whose value is not known when provisioners are
// recorded, such as HOST for build.Host. Text that contains it is refused, unless the machine can put the value in.
func Placeholder(name string) string { return placeholderPrefix + name + placeholderSuffix }

// The build variables whose values the machine puts in: what has their [Placeholder] is recorded with it.
const (
	FactID   = "ID"
	FactHost = "HOST"
)

// isFact reports whether a placeholder is replaced on the machine.
func isFact(found string) bool { return found == Placeholder(FactID) || found == Placeholder(FactHost) }

// errPlaceholder returns the error for a placeholder in a text that Packer has rendered.
func errPlaceholder(where, found string) error {
	if found == placeholder.Unknown {
		return fmt.Errorf(
			"%s holds %q, which stands for a value Packer does not know. Find the variable in the block and "+
				"remove it",
			where,
			found,
		)
	}
	if loweredPattern.MatchString(found) {
		return fmt.Errorf("%s holds %s: a function has changed the text that stands for a build variable, which the "+
			"machine puts in. Give the variable as it is to a script, and let the script change it", where, found)
	}
	name := strings.TrimSuffix(strings.TrimPrefix(found, placeholderPrefix), placeholderSuffix)
	if strings.HasPrefix(name, "HTTP_") {
		return fmt.Errorf(
			"%s holds %s: this builder serves no files over HTTP. Upload them with a file block",
			where,
			found,
		)
	}
	return fmt.Errorf("%s holds %s: nothing connects to the machine, so the build variable has no value. Remove it; "+
		"build.ID, build.Host and build.User have one", where, found)
}

// checkText looks for placeholders in a text that Packer has rendered. It reports whether there are some that the
// machine replaces, and returns an error for the first that it does not.
func checkText(where, text string, pattern *regexp.Regexp) (facts bool, _ error) {
	for _, found := range pattern.FindAllString(text, -1) {
		if !isFact(found) {
			return false, errPlaceholder(where, found)
		}
		facts = true
	}
	if found := loweredPattern.FindString(text); found != "" {
		return false, errPlaceholder(where, found)
	}
	return facts, nil
}

// placeholderScanner looks for the placeholders that a pattern matches in what is written to it.
type placeholderScanner struct {
	pattern *regexp.Regexp
	found   string // the first that the machine does not replace
	facts   bool   // there are some that it replaces
	tail    []byte // the end of what was written, in which a placeholder may begin
}

// longestPlaceholder is longer than any match of a pattern.
const longestPlaceholder = 128

// Write implements io.Writer.
func (s *placeholderScanner) Write(p []byte) (int, error) {
	if s.found != "" {
		return len(p), nil
	}
	s.tail = append(s.tail, p...)
	for _, found := range s.pattern.FindAll(s.tail, -1) {
		if !isFact(string(found)) {
			s.found = string(found)
			break
		}
		s.facts = true
	}
	if lowered := loweredPattern.Find(s.tail); lowered != nil && s.found == "" {
		s.found = string(lowered)
	}
	if over := len(s.tail) - longestPlaceholder; over > 0 {
		s.tail = append(s.tail[:0], s.tail[over:]...)
	}
	return len(p), nil
}
