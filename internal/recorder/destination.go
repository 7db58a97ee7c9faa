// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// Over SSH, Packer ran "scp -t DIRECTORY" in the login shell without quotes, and named the file in scp's own protocol. So
// a directory could begin with ~ or $HOME, and the last element was taken as it was. That is kept. What else a shell
// would have expanded is refused: the words would mean something else now.

// fileWord gives the destination of a file as one word of sh.
func fileWord(dst string) (string, error) {
	if err := checkPath(dst); err != nil {
		return "", err
	}
	if strings.HasSuffix(dst, "/") {
		return "", fmt.Errorf("the destination %q ends with a slash: name the file", dst)
	}
	dir, base := path.Dir(dst), path.Base(dst)
	if base == ".." || base == "." {
		return "", fmt.Errorf("the destination %q is a directory: name the file", dst)
	}
	if err := checkDir(dst, dir); err != nil {
		return "", err
	}
	if dir == "." {
		return shell.Quote("./" + base), nil
	}
	return word(dir, base), nil
}

// dirWord gives the destination of a directory as one word of sh. It stands for what it says: scp was given it whole.
func dirWord(dst string) (string, error) {
	if err := checkPath(dst); err != nil {
		return "", err
	}
	if err := checkDir(dst, dst); err != nil {
		return "", err
	}
	if trimmed := strings.TrimRight(dst, "/"); trimmed != "" {
		dst = trimmed
	}
	return word(dst, ""), nil
}

// word joins a directory, as the user wrote it, and a name in it.
func word(dir, base string) string {
	first, rest, _ := strings.Cut(dir, "/")
	switch {
	case home.MatchString(first):
		first = "~"
	case user.MatchString(first):
	case strings.HasPrefix(dir, "/"): // the word is a path as it stands
		if dir == "/" && base != "" {
			dir = ""
		}
		return shell.Quote(dir + within(base))
	default: // of the home directory; a name may begin with a hyphen
		return shell.Quote("./" + dir + within(base))
	}
	if rest += within(base); rest == "" {
		return first
	}
	return first + "/" + shell.Quote(strings.TrimPrefix(rest, "/"))
}

// within is how a name is added to a directory.
func within(base string) string {
	if base == "" {
		return ""
	}
	return "/" + base
}

var (
	// home is the first element of a path that means the login user's home, as a shell reads it.
	home = regexp.MustCompile(`^(~|\$HOME|\$\{HOME\})$`)
	// user is one that means another user's; the name is one that useradd takes.
	user = regexp.MustCompile(`^~[a-z_][a-z0-9_-]{0,31}$`)
	// drive is the beginning of a path on Windows.
	drive = regexp.MustCompile(`^([A-Za-z]:[\\/]|%[A-Za-z_]+%|\\|\$[Ee]nv:|\$\{env:)`)
)

// expanded are the bytes that the login shell would not have taken as they are, in any place of a word.
const expanded = "$`\"'\\*?[{();&|<>"

func checkPath(dst string) error {
	switch {
	case dst == "":
		return errors.New("the destination is empty")
	case drive.MatchString(dst):
		return fmt.Errorf("the destination %q is for Windows, but this builder bakes Linux. Remove the block, or keep it for another "+
			"source with only = [...]", dst)
	case strings.ContainsFunc(dst, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("the destination %q holds a line break or another control character", dst)
	}
	for _, dir := range []string{"/var/lib/bakery", "/run/bakery", "/var/run/bakery"} {
		if clean := path.Clean(dst); clean == dir || strings.HasPrefix(clean, dir+"/") {
			return fmt.Errorf("the destination %q is in %s, which belongs to the bake and is removed at its end", dst, dir)
		}
	}
	return nil
}

// checkDir refuses a directory that the login shell would have read as something else than its name.
func checkDir(dst, dir string) error {
	first, rest, _ := strings.Cut(dir, "/")
	if home.MatchString(first) || user.MatchString(first) {
		dir = rest
	} else if strings.HasPrefix(dir, "~") {
		return fmt.Errorf("the destination %q begins with ~, but names no user: write the path out", dst)
	}
	if strings.ContainsAny(dir, expanded) {
		return fmt.Errorf("the destination %q holds a character that the login shell would expand over SSH, but nothing expands here, "+
			"besides ~ and $HOME at the beginning: write the path out", dst)
	}
	return nil
}
