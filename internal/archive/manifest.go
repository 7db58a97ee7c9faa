// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package archive

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// ManifestName is the name of the first entry of every archive: a POSIX sh fragment that calls
//
//	bakery_dir 0755 '/etc/app'
//
// once for each directory of the tree, parents first. Whoever sources it defines bakery_dir: it must create the
// directory with that mode when nothing is there, and must leave alone what is. It takes one read of the first
// bytes to get it out:
//
//	gzip -dc fs.tgz | tar -xf - --occurrence=1 -C DIR var/lib/bakery/fs.dirs.sh
const ManifestName = "var/lib/bakery/fs.dirs.sh"

// manifest lists the directories below root, and refuses the tree when it holds what cannot be archived: better
// here, before hours of reading, than in the middle.
func manifest(root *os.Root) ([]byte, error) {
	var lines bytes.Buffer
	err := walk(root, func(n node) error {
		if err := admissible(n); err != nil {
			return fmt.Errorf("archive %s: %w", n.path, err)
		}
		if n.info.IsDir() {
			fmt.Fprintf(&lines, "bakery_dir %04o %s\n", permissions(n.info.Mode()), shell.Quote("/"+n.path))
		}
		return nil
	})
	return lines.Bytes(), err
}

// admissible says why a node cannot be part of an archive.
func admissible(n node) error {
	if n.path == ManifestName {
		return fmt.Errorf("the archive keeps its list of directories there; name the file otherwise")
	}
	switch n.info.Mode().Type() {
	case 0, fs.ModeDir:
		return nil
	case fs.ModeSymlink:
		target, err := n.root.Readlink(n.info.Name())
		if err == nil && leavesTree(n.path, target) {
			err = errLeavesTree(target)
		}
		return err
	default:
		return fmt.Errorf("it is %s; only files, directories and links can be archived", describe(n.info.Mode()))
	}
}

func describe(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeDevice != 0:
		return "a device"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	}
	return "of a kind that is not known here (" + mode.String() + ")"
}
