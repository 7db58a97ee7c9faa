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
// once for each directory of the tree, parents first. The shell that sources it defines bakery_dir, which must make the
// directory with that mode, but must not change one that exists. The manifest can be extracted without reading the
// whole archive:
//
//	gzip -dc fs.tgz | tar -xf - --occurrence=1 -C DIR var/lib/bakery/fs.dirs.sh
const ManifestName = "var/lib/bakery/fs.dirs.sh"

// manifest lists the directories below root. It refuses a tree that contains what cannot be archived, so that this is
// found before the files are read, which may take long.
func manifest(root *os.Root) ([]byte, error) {
	var lines bytes.Buffer
	err := walk(root, func(n node) error {
		if err := checkNode(n); err != nil {
			return fmt.Errorf("archive %s: %w", n.path, err)
		}
		if n.info.IsDir() {
			fmt.Fprintf(&lines, "bakery_dir %04o %s\n", permissions(n.info.Mode()), shell.Quote("/"+n.path))
		}
		return nil
	})
	return lines.Bytes(), err
}

// checkNode returns why a node cannot be part of an archive, or nil.
func checkNode(n node) error {
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
