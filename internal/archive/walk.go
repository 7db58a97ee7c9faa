// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// node is a file, link or directory of the tree, with what is needed to read it.
type node struct {
	root *os.Root // the directory that holds it
	path string   // below the tree, slashes, no leading slash: "etc/app/app.conf"
	info fs.FileInfo
}

// walk calls yield for every node below root: those of a directory sorted by the bytes of their names, a directory
// before its contents. It does not follow links. It opens each directory from the one above, so that a directory that
// is moved meanwhile cannot lead it out of the tree.
func walk(root *os.Root, yield func(node) error) error {
	return walkBelow(root, "", yield)
}

func walkBelow(root *os.Root, prefix string, yield func(node) error) error {
	infos, err := list(root)
	if err != nil {
		return fmt.Errorf("list %s: %w", pathOrDot(prefix), err)
	}
	for _, info := range infos {
		n := node{root: root, path: prefix + info.Name(), info: info}
		if err := yield(n); err != nil {
			return err
		}
		if !info.IsDir() {
			continue
		}
		below, err := root.OpenRoot(info.Name())
		if err != nil {
			return fmt.Errorf("open %s: %w", n.path, err)
		}
		err = walkBelow(below, n.path+"/", yield)
		if err := errors.Join(err, below.Close()); err != nil {
			return err
		}
	}
	return nil
}

// list returns the contents of the directory root, sorted by the bytes of the names.
func list(root *os.Root) ([]fs.FileInfo, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	// Readdirnames returns no types and sizes. root.Lstat does, and follows no link.
	names, err := d.Readdirnames(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	infos := make([]fs.FileInfo, 0, len(names))
	for _, name := range names {
		info, err := root.Lstat(name)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return cmp.Compare(a.Name(), b.Name()) })
	return infos, nil
}

func pathOrDot(prefix string) string { return cmp.Or(prefix, ".") }
