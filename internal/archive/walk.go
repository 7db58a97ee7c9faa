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

// walk yields every node below root: those of a directory in the order of the bytes of their names, a directory
// before what it holds. Links are not followed. It opens one directory per level at a time, each from the one
// above, so that nobody who moves directories about meanwhile can lead it out of the tree.
func walk(root *os.Root, yield func(node) error) error {
	return walkBelow(root, "", yield)
}

func walkBelow(root *os.Root, prefix string, yield func(node) error) error {
	infos, err := list(root)
	if err != nil {
		return fmt.Errorf("list %s: %w", orDot(prefix), err)
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

// list returns what the directory root holds, sorted by the bytes of the names.
func list(root *os.Root) ([]fs.FileInfo, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	// Names come without their types and sizes: those are asked for through root, which follows no link.
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

func orDot(prefix string) string { return cmp.Or(prefix, ".") }
