// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/amibakery/packer-plugin-bakery/internal/inputfile"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// CheckFS checks the files under dir, the fs/ of an Image-Source, and reports everything that cannot be in an image or
// would break it. It does not follow links. Messages call the folder "fs".
func CheckFS(dir string) problem.List { return checkTree(dir, filesDir, filepath.Dir(dir)) }

// CheckLost warns of what neither an archive nor a copy of the fs/ in dir has: hard links, holes and extended
// attributes. CheckFS does so too, but cannot know it from a copy.
func CheckLost(dir string) problem.List {
	t := &tree{dir: dir, name: filesDir, names: map[inode]string{}}
	_ = filepath.WalkDir(dir, func(full string, e fs.DirEntry, err error) error { // the function itself never fails
		if rel, relErr := filepath.Rel(dir, full); err == nil && relErr == nil && rel != "." {
			t.lost(filepath.ToSlash(rel), full, e)
		}
		return nil
	})
	return t.problems
}

// tree is the state of the check of one fs/.
type tree struct {
	dir      string // fs/ itself
	name     string // what messages call it
	sources  []string
	names    map[inode]string // the first path of each file that has several
	open     func(string) (io.ReadCloser, error)
	problems problem.List
}

// checkTree checks the tree under dir. Links may not lead into source, the path of the Image-Source on this computer.
func checkTree(dir, name, source string) problem.List {
	t := &tree{dir: dir, name: name, sources: absolutePaths(source), names: map[inode]string{},
		open: func(path string) (io.ReadCloser, error) { return os.Open(path) }}
	t.walk()
	return t.problems
}

// absolutePaths returns the absolute path of a folder, and the same with links resolved. It leaves out /, which
// contains every path.
func absolutePaths(dir string) []string {
	var found []string
	if absolute, err := filepath.Abs(dir); err == nil {
		found = append(found, absolute)
		if resolved, err := filepath.EvalSymlinks(absolute); err == nil && resolved != absolute {
			found = append(found, resolved)
		}
	}
	return slices.DeleteFunc(found, func(path string) bool { return path == filepath.Dir(path) })
}

func (t *tree) walk() {
	_ = filepath.WalkDir(t.dir, func(full string, e fs.DirEntry, err error) error { // the function itself never fails
		rel, relErr := filepath.Rel(t.dir, full)
		if relErr != nil {
			rel = full
		}
		rel = filepath.ToSlash(rel)
		if err != nil {
			t.errorf(rel, "read it: %v", cause(err))
			return nil
		}
		if rel == "." {
			return nil
		}
		return t.entry(rel, full, e)
	})
}

// entry checks one file, folder or link; rel is its path in the image without the leading slash.
func (t *tree) entry(rel, full string, e fs.DirEntry) error {
	if owner := reserved(rel); owner != "" {
		t.errorf(rel, "%s is bakery's own place on the machine: put it elsewhere", owner)
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	switch mode := e.Type(); {
	case mode.IsDir():
		t.cleanUp(rel, full, e)
		t.lost(rel, full, e)
		return nil
	case mode&fs.ModeSymlink != 0:
		t.link(rel, full)
	case mode.IsRegular():
		t.regular(rel, full, e)
	default:
		t.errorf(rel, "is %s, which cannot be put into an image: remove it, and make it in install.sh if the image "+
			"needs one", inputfile.Kind(mode))
		return nil
	}
	if dir := nonDiskDir(rel); dir != "" {
		t.warnf(rel, "/%s is not on the disk of a machine, so this will not be in the image: have systemd-tmpfiles "+
			"make it at boot", dir)
		return nil
	}
	t.cleanUp(rel, full, e)
	t.lost(rel, full, e)
	return nil
}

// isEmpty reports whether a folder can be read and has nothing in it.
func (t *tree) isEmpty(full string) bool {
	entries, err := os.ReadDir(full)
	return err == nil && len(entries) == 0
}

func (t *tree) regular(rel, full string, e fs.DirEntry) {
	if systemDir(rel) {
		t.errorf(rel, "is a file where every machine has a folder or a link to one: /%s would be lost", rel)
	}
	if info, err := e.Info(); err == nil && info.Mode().Perm()&0o444 == 0o444 {
		return // every user may read it
	}
	file, err := t.open(full)
	if err != nil {
		t.errorf(rel, "read it: %v", cause(err))
		return
	}
	_ = file.Close() // nothing was read or written
}

func (t *tree) link(rel, full string) {
	target, err := os.Readlink(full)
	if err != nil {
		t.errorf(rel, "read the link: %v", cause(err))
		return
	}
	switch {
	case !path.IsAbs(target) && leavesRoot(path.Join(path.Dir(rel), target)):
		t.errorf(rel, "is a link that leads out of the tree, to %s: make it a path inside of the image", show(target))
	case t.inSource(target):
		t.errorf(rel, "is a link to %s on this computer, which no machine has: write the path as it is in the image",
			show(target))
	case systemDir(rel) && !isUsualLink(rel, target):
		t.errorf(rel, "is a link where every machine has a folder or a link of its own: /%s would be lost", rel)
	}
}

// leavesRoot reports whether a cleaned path that is relative to the root begins above it.
func leavesRoot(cleaned string) bool { return cleaned == ".." || strings.HasPrefix(cleaned, "../") }

func (t *tree) inSource(target string) bool {
	cleaned := path.Clean(target)
	return slices.ContainsFunc(t.sources, func(source string) bool {
		return cleaned == source || strings.HasPrefix(cleaned, source+"/")
	})
}

func (t *tree) errorf(rel, format string, args ...any) {
	t.problems.Errorf(t.shown(rel), 0, 0, format, args...)
}

func (t *tree) warnf(rel, format string, args ...any) {
	t.problems.Warnf(t.shown(rel), 0, 0, format, args...)
}

func (t *tree) shown(rel string) string {
	if rel == "." {
		return t.name
	}
	return show(t.name + "/" + rel)
}

// show returns a path, quoted when it contains characters that cannot be printed.
func show(path string) string {
	if !utf8.ValidString(path) || strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	return path
}
