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

// ignore are patterns of paths that a comparison leaves out, with all that is below them. They begin with /. As in a
// shell, * and ? match within one name.
type ignore []string

func (i *ignore) define(f *flag.FlagSet) {
	f.Func("ignore", "leave out `PATH` and all that is below it; its names may contain * and ?. May be repeated", i.add)
	f.Func("ignore-from", "leave out the paths in `FILE`, one on each line; # begins a comment", i.read)
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

// has reports whether a path is left out. Callers do not ask about paths below one that is left out.
func (i ignore) has(name string) bool {
	for _, pattern := range i {
		if ok, _ := path.Match(pattern, name); ok { // add has checked the pattern
			return true
		}
	}
	return false
}
