// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// copySize is how much of a file is read at once: enough that system calls take little time, and little memory.
const copySize = 256 << 10

// archiver writes the entries of one archive.
type archiver struct {
	tar     *tar.Writer
	counter *countingWriter
	entries int
	buffer  []byte
}

// write walks the tree twice: for the manifest, which comes first, and for everything else.
func (a *archiver) write(root *os.Root) error {
	manifest, err := manifest(root)
	if err != nil {
		return err
	}
	if err := a.writeManifest(manifest); err != nil {
		return fmt.Errorf("archive the directory manifest: %w", err)
	}
	if err := walk(root, a.writeNode); err != nil {
		return err
	}
	return a.tar.Close()
}

func (a *archiver) writeManifest(content []byte) error {
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: ManifestName, Mode: 0o600, Size: int64(len(content)), Format: tar.FormatGNU,
	}
	if err := a.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err := a.tar.Write(content)
	return err
}

func (a *archiver) writeNode(n node) error {
	var err error
	switch n.info.Mode().Type() {
	case fs.ModeDir: // in the manifest
		return nil
	case 0:
		err = a.writeFile(n)
	case fs.ModeSymlink:
		err = a.writeLink(n)
	}
	if err != nil {
		return fmt.Errorf("archive %s: %w", n.path, err)
	}
	a.entries++
	return nil
}

func (a *archiver) writeLink(n node) error {
	target, err := n.root.Readlink(n.info.Name())
	if err != nil {
		return err
	}
	if leavesTree(n.path, target) {
		return errLeavesTree(target)
	}
	// A link has no permissions of its own; 0777 is what Linux shows for all of them.
	return a.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeSymlink, Name: n.path, Linkname: target, Mode: 0o777, Format: tar.FormatGNU,
	})
}

// writeFile writes the entry of a file. It uses the size of the opened file, because another file may have replaced the
// one that walk has seen.
func (a *archiver) writeFile(n node) error {
	f, err := n.root.Open(n.info.Name())
	if err != nil {
		return err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(before, n.info) {
		return errors.New("another file took its place while it was archived")
	}
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: n.path, Mode: permissions(before.Mode()), Size: before.Size(),
		Format: tar.FormatGNU,
	}
	if err := a.tar.WriteHeader(header); err != nil {
		return err
	}
	return a.writeContent(f, before)
}

// writeContent copies exactly the size in the header, and returns an error when the file has changed meanwhile.
func (a *archiver) writeContent(f *os.File, before fs.FileInfo) error {
	copied, err := io.CopyBuffer(onlyWriter{a.tar}, io.LimitReader(f, before.Size()), a.buffer)
	if err != nil {
		return err
	}
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if copied != before.Size() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return fmt.Errorf("it changed while it was archived: it had %d bytes and has %d now", before.Size(),
			after.Size())
	}
	return nil
}

// onlyWriter hides tar.Writer's ReadFrom, which would allocate a buffer for each file.
type onlyWriter struct{ io.Writer }

// permissions returns the bits of chmod(2), which differ from those of fs.FileMode.
func permissions(mode fs.FileMode) int64 {
	bits := int64(mode.Perm())
	for flag, bit := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

// leavesTree reports whether a link at name leads out of the tree. An absolute target does not: on the machine, the
// tree is /.
func leavesTree(name, target string) bool {
	if path.IsAbs(target) {
		return false
	}
	resolved := path.Join(path.Dir(name), target)
	return resolved == ".." || strings.HasPrefix(resolved, "../")
}

func errLeavesTree(target string) error {
	return fmt.Errorf("the link leads out of the tree, to %q", target)
}
