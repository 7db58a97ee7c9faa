// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// tree is a directory that was uploaded.
type tree struct {
	name  string // of the directory to create on the machine; empty for its contents alone
	sum   string // of its manifest
	files int
	dirs  int // with its own
	bytes int64
}

// treeWalk writes the manifest of a tree, and stores the contents of its files.
type treeWalk struct {
	tree

	r        *Recorder
	exclude  []string
	manifest *bufio.Writer
	above    []os.FileInfo // the parent directories, to detect a link that leads back to one of them
}

// uploadTree stores a local directory. It follows links to files and directories, as scp does.
func (r *Recorder) uploadTree(src string, exclude []string) (tree, error) {
	info, err := os.Stat(src)
	if err != nil {
		return tree{}, err
	}
	if !info.IsDir() {
		return tree{}, errors.New("it is not a directory")
	}
	list, err := r.blobs.create()
	if err != nil {
		return tree{}, err
	}
	w := &treeWalk{r: r, exclude: exclude, manifest: bufio.NewWriter(list)}
	if !strings.HasSuffix(src, "/") {
		if w.name, err = ownName(src); err == nil {
			err = w.line("d", info.Mode(), "", "")
		}
	}
	err = errors.Join(err, w.walk(src, "", info), w.manifest.Flush())
	if err != nil {
		list.discard()
		return tree{}, err
	}
	w.sum, err = list.commit()
	return w.tree, err
}

// ownName returns the name on the machine of a directory that is uploaded itself, not only its contents.
func ownName(src string) (string, error) {
	name := filepath.Base(src)
	if name == "." || name == ".." || name == "/" {
		return "", fmt.Errorf("%q cannot be a name on the machine: end it with a slash to upload what the directory "+
			"contains, or write its name out", src)
	}
	return name, checkName(name)
}

func checkName(name string) error {
	if strings.ContainsAny(name, "\n\r") {
		return fmt.Errorf("the name %q contains a line break: rename it, or upload an archive", name)
	}
	return nil
}

// walk stores the contents of a directory, sorted by the bytes of the names. Below is its path in the manifest.
func (w *treeWalk) walk(dir, below string, info os.FileInfo) error {
	for _, other := range w.above {
		if os.SameFile(other, info) {
			return fmt.Errorf("%s is a link to a directory above it, so that the tree is without end", below)
		}
	}
	w.above = append(w.above, info)
	defer func() { w.above = w.above[:len(w.above)-1] }()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := w.entry(filepath.Join(dir, entry.Name()), path.Join(below, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (w *treeWalk) entry(file, name string) error {
	if w.excluded(name) {
		return nil
	}
	if err := checkName(path.Base(name)); err != nil {
		return err
	}
	own, err := os.Lstat(file)
	if err != nil {
		return err
	}
	info, err := os.Stat(file) // of what a link leads to
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		// scp takes the mode from the link itself, which is 0777 everywhere on Linux.
		return errors.Join(w.line("d", own.Mode(), "", name), w.walk(file, name, info))
	case info.Mode().IsRegular():
		return w.file(file, name, own)
	}
	return fmt.Errorf("%s is neither a file nor a directory, nor a link to one", name)
}

func (w *treeWalk) file(file, name string, own os.FileInfo) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	sum, size, err := w.r.store(f, nil)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	w.files++
	w.bytes += size
	return w.line("f", modeOf(&own), sum+" ", name)
}

// line writes one line of the manifest. The slash at the end keeps spaces before it when sh reads the line.
func (w *treeWalk) line(kind string, mode fs.FileMode, sum, name string) error {
	if kind == "d" {
		w.dirs++
	}
	if name != "" {
		name += "/"
	}
	_, err := fmt.Fprintf(w.manifest, "%s %04o %s./%s\n", kind, mode.Perm(), sum, name)
	return err
}

// excluded reports whether a path, or its last element, matches a pattern to leave out; * and ? match as in a shell.
func (w *treeWalk) excluded(name string) bool {
	for _, pattern := range w.exclude {
		pattern = strings.TrimSuffix(pattern, "/")
		for _, candidate := range []string{name, path.Base(name)} {
			if ok, err := path.Match(pattern, candidate); ok || err != nil && pattern == candidate {
				return true
			}
		}
	}
	return false
}
