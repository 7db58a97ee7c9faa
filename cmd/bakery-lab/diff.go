// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func diff(args []string) (int, error) {
	var ignored ignore
	f := flags("diff")
	ignored.define(f)
	words, rest, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	if len(words) < 1 || len(words) > 2 || len(rest) > 0 {
		return usageError("diff")
	}
	inside := []string{"_diff"}
	for _, pattern := range ignored {
		inside = append(inside, "--ignore", pattern)
	}
	return sandboxed(append(inside, words...)...)
}

func diffInside(args []string) (int, error) {
	var ignored ignore
	f := flags("_diff")
	ignored.define(f)
	args, _, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	h, err := openHome()
	if err != nil {
		return 1, err
	}
	if len(args) == 1 {
		image, err := h.find(args[0])
		if err != nil {
			return 1, err
		}
		if image.SourceImage == "" {
			return usageExit, fmt.Errorf("%s was not made from another image here; name the one to compare it with",
				args[0])
		}
		args = append(args, image.SourceImage)
	}
	newer, err := h.mountImage(args[0])
	if err != nil {
		return usageExit, err
	}
	older, err := h.mountImage(args[1])
	if err != nil {
		return usageExit, err
	}
	out := bufio.NewWriter(os.Stdout)
	count, err := compare(out, older, newer, ignored)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return usageExit, err
	}
	return min(count, 1), nil // 1 when they differ, as diff(1)
}

// file is an entry of a tree. Its content is read only when it is needed.
type file struct {
	path   string // in its tree, with a leading /
	full   string
	kind   string
	mode   fs.FileMode
	owner  string
	size   int64
	target string // of a link; the number of a device
}

// compare writes a line for each path that differs and is not ignored: + only in newer, - only in older, ~ in both.
func compare(w io.Writer, older, newer string, ignored ignore) (count int, err error) {
	old, err := tree(older, ignored)
	if err != nil {
		return 0, err
	}
	now, err := tree(newer, ignored)
	if err != nil {
		return 0, err
	}
	for len(old) > 0 || len(now) > 0 {
		var line string
		switch order := comparePaths(old, now); {
		case order < 0:
			line, err = old[0].line("-")
			old = old[1:]
		case order > 0:
			line, err = now[0].line("+")
			now = now[1:]
		default:
			line, err = old[0].changed(now[0])
			old, now = old[1:], now[1:]
		}
		if err != nil {
			return count, err
		}
		if line != "" {
			count++
			if _, err := fmt.Fprintln(w, line); err != nil {
				return count, err
			}
		}
	}
	return count, nil
}

// comparePaths compares the first paths of two lists: it is negative when old's comes first, positive when now's does,
// and 0 when they are the same.
func comparePaths(old, now []file) int {
	switch {
	case len(now) == 0:
		return -1
	case len(old) == 0:
		return 1
	}
	return strings.Compare(old[0].path, now[0].path)
}

// tree reads a whole tree, without ignored paths, sorted by path.
func tree(root string, ignored ignore) ([]file, error) {
	var all []file
	err := filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path := "/" + strings.TrimPrefix(strings.TrimPrefix(full, root), "/")
		if ignored.has(path) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		one, err := describe(full, info)
		one.path = path
		all = append(all, one)
		return err
	})
	slices.SortFunc(all, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return all, err
}

func describe(full string, info fs.FileInfo) (file, error) {
	uid, gid := owner(info)
	one := file{full: full, mode: info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky),
		owner: fmt.Sprintf("%d:%d", uid, gid)}
	var err error
	switch info.Mode().Type() {
	case 0:
		one.kind, one.size = "file", info.Size()
	case fs.ModeDir:
		one.kind = "directory"
	case fs.ModeSymlink:
		one.kind, one.mode = "link", 0
		one.target, err = os.Readlink(full)
	default:
		one.kind = info.Mode().Type().String()
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			one.target = fmt.Sprint(s.Rdev)
		}
	}
	return one, err
}

// octal formats a mode as for chmod.
func octal(m fs.FileMode) string {
	n := uint32(m.Perm())
	for bit, value := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000,
		fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			n |= value
		}
	}
	return fmt.Sprintf("%04o", n)
}

func (f file) content() (string, error) {
	switch {
	case f.kind == "link":
		return "-> " + f.target, nil
	case f.kind != "file":
		return f.target, nil
	}
	in, err := os.Open(f.full)
	if err != nil {
		return "", err
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", sum.Sum(nil)), nil
}

func (f file) line(sign string) (string, error) {
	content, err := f.content()
	return strings.TrimRight(fmt.Sprintf("%s %s %s %s %s %d %s", sign, quotedPath(f.path), f.kind, octal(f.mode),
		f.owner, f.size, content), " "), err
}

// changed returns a line with all properties that differ, or "".
func (f file) changed(now file) (string, error) {
	var all []string
	addChange := func(what, before, after string) {
		if before != after {
			all = append(all, what+" "+before+" => "+after)
		}
	}
	addChange("type", f.kind, now.kind)
	addChange("mode", octal(f.mode), octal(now.mode))
	addChange("owner", f.owner, now.owner)
	addChange("size", strconv.FormatInt(f.size, 10), strconv.FormatInt(now.size, 10))
	if f.kind == now.kind {
		before, err := f.content()
		if err != nil {
			return "", err
		}
		after, err := now.content()
		if err != nil {
			return "", err
		}
		addChange("content", before, after)
	}
	if len(all) == 0 {
		return "", nil
	}
	return "~ " + quotedPath(f.path) + " " + strings.Join(all, ", "), nil
}

// quotedPath quotes a path with spaces or special characters.
func quotedPath(path string) string {
	if quoted := strconv.Quote(path); len(quoted) != len(path)+2 || strings.Contains(path, " ") {
		return quoted
	}
	return path
}
