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

var placeholderPattern = regexp.MustCompile(placeholder.Unknown + `|` + placeholderPrefix + `[A-Z0-9_]{1,40}` +
	placeholderSuffix)

// Placeholder returns the value of a build variable that is not known when provisioners are recorded, such as HOST for
// build.Host. Text that contains it is refused.
func Placeholder(name string) string { return placeholderPrefix + name + placeholderSuffix }

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
	name := strings.TrimSuffix(strings.TrimPrefix(found, placeholderPrefix), placeholderSuffix)
	if strings.HasPrefix(name, "HTTP_") {
		return fmt.Errorf(
			"%s holds %s: this builder serves no files over HTTP. Upload them with a file block",
			where,
			found,
		)
	}
	return fmt.Errorf("%s holds %s: build variables of the machine are not known, because provisioners are recorded "+
		"before it is launched. Let the script ask the machine itself", where, found)
}

// placeholderScanner finds the first placeholder in what is written to it.
type placeholderScanner struct {
	found string
	tail  []byte // the end of what was written, in which a placeholder may begin
}

// longestPlaceholder is longer than any match of placeholder.
const longestPlaceholder = 128

// Write implements io.Writer.
func (s *placeholderScanner) Write(p []byte) (int, error) {
	if s.found != "" {
		return len(p), nil
	}
	s.tail = append(s.tail, p...)
	s.found = string(placeholderPattern.Find(s.tail))
	if over := len(s.tail) - longestPlaceholder; over > 0 {
		s.tail = append(s.tail[:0], s.tail[over:]...)
	}
	return len(p), nil
}
