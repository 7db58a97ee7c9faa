// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"flag"
	"fmt"
	"os"
	"path"
	"strings"
)

// ignore are patterns of paths that a comparison leaves out, each with everything below it. They begin with /;
// * and ? match within one name, as in a shell.
type ignore []string

func (i *ignore) define(f *flag.FlagSet) {
	f.Func("ignore", "leave out `PATH` and everything below it; its names may hold * and ?. May be repeated", i.add)
	f.Func("ignore-from", "leave out the paths in `FILE`, one a line; # begins a comment", i.read)
}

func (i *ignore) add(pattern string) error {
	if !strings.HasPrefix(pattern, "/") {
		return fmt.Errorf("ignore %q: write the whole path, beginning with /", pattern)
	}
	if _, err := path.Match(pattern, "/"); err != nil {
		return fmt.Errorf("ignore %q: %w", pattern, err)
	}
	*i = append(*i, path.Clean(pattern))
	return nil
}

func (i *ignore) read(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := i.add(line); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// has says whether a path is left out. What is below one that is never gets asked about.
func (i ignore) has(name string) bool {
	for _, pattern := range i {
		if ok, _ := path.Match(pattern, name); ok { // the pattern was tried in add
			return true
		}
	}
	return false
}
