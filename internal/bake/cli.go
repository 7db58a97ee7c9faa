// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bake

import (
	"fmt"
	"regexp"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// CLI writes commands of the AWS CLI for the account of a bake, for a person to copy.
type CLI struct {
	Region  string // of the build
	Profile string // of the shared configuration file, if the template names one
}

// Command returns a command for the region of the build. Words that are not of the plugin's own making have to be
// quoted with Word.
func (c CLI) Command(format string, args ...any) string {
	return c.CommandIn(c.Region, format, args...)
}

// CommandIn is Command for another region.
func (c CLI) CommandIn(region, format string, args ...any) string {
	command := "aws " + fmt.Sprintf(format, args...) + " --region " + Word(region)
	if c.Profile != "" {
		command += " --profile " + Word(c.Profile)
	}
	return command
}

// plainWord needs no quotes in any shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@-]+$`)

// Word returns a text as one word of a command, quoted if it has to be.
func Word(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return shell.Quote(text)
}

// Count returns a number of things in words: "1 file", "2 files".
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
