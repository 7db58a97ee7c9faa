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

// Over SSH, Packer runs "scp -t DIRECTORY" in the login shell without quotes, and sends the name of the file in scp's
// protocol. So a directory may begin with ~ or $HOME, and the last element is literal. The functions here do the same.
// Everything else that a shell would have expanded is refused, because nothing expands it here.

// fileWord returns the destination of a file as one word of sh. The kind is that of the provisioner.
func fileWord(dst, kind string) (string, error) {
	if err := checkPath(dst, kind); err != nil {
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

// dirWord returns the destination of a directory as one word of sh. The kind is that of the provisioner.
func dirWord(dst, kind string) (string, error) {
	if err := checkPath(dst, kind); err != nil {
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

// word joins a directory, as the user wrote it, and a name in it to one word of sh.
func word(dir, base string) string {
	first, rest, _ := strings.Cut(dir, "/")
	switch {
	case home.MatchString(first):
		first = "~"
	case user.MatchString(first):
	case strings.HasPrefix(dir, "/"): // an absolute path, without a home directory
		if dir == "/" && base != "" {
			dir = ""
		}
		return shell.Quote(dir + joinName(base))
	default: // relative to the home directory; ./ because a name may begin with a hyphen
		return shell.Quote("./" + dir + joinName(base))
	}
	if rest += joinName(base); rest == "" {
		return first
	}
	return first + "/" + shell.Quote(strings.TrimPrefix(rest, "/"))
}

// joinName returns a name as it is appended to a directory.
func joinName(base string) string {
	if base == "" {
		return ""
	}
	return "/" + base
}

var (
	// home matches a first element of a path that a shell expands to the login user's home.
	home = regexp.MustCompile(`^(~|\$HOME|\$\{HOME\})$`)
	// user matches a first element that means another user's home; the name is one that useradd accepts.
	user = regexp.MustCompile(`^~[a-z_][a-z0-9_-]{0,31}$`)
	// drive matches the beginning of a path on Windows.
	drive = regexp.MustCompile(`^([A-Za-z]:[\\/]|%[A-Za-z_]+%|\\|\$[Ee]nv:|\$\{env:)`)
)

// expanded are the characters that the login shell would expand anywhere in a word.
const expanded = "$`\"'\\*?[{();&|<>"

func checkPath(dst, kind string) error {
	switch {
	case dst == "":
		return errors.New("the destination is empty")
	case drive.MatchString(dst):
		return fmt.Errorf("the destination %q is for Windows, but this builder bakes Linux. %s", dst,
			windowsWayOut(kind))
	case strings.ContainsFunc(dst, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("the destination %q contains a line break or another control character", dst)
	}
	for _, dir := range []string{"/var/lib/bakery", "/run/bakery", "/var/run/bakery"} {
		if clean := path.Clean(dst); clean == dir || strings.HasPrefix(clean, dir+"/") {
			return fmt.Errorf(
				"the destination %q is in %s, which belongs to the bake and is removed at its end",
				dst,
				dir,
			)
		}
	}
	return nil
}

// checkDir refuses a directory that the login shell would have expanded.
func checkDir(dst, dir string) error {
	first, rest, _ := strings.Cut(dir, "/")
	if home.MatchString(first) || user.MatchString(first) {
		dir = rest
	} else if strings.HasPrefix(dir, "~") {
		return fmt.Errorf("the destination %q begins with ~, but names no user: write the path out", dst)
	}
	if strings.ContainsAny(dir, expanded) {
		return fmt.Errorf(
			"the destination %q contains a character that the login shell would expand over SSH. Here, only "+
				"~ and $HOME at the beginning are expanded: write the path out",
			dst,
		)
	}
	return nil
}
