// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package archive makes a reproducible tar.gz of the fs/ tree of an Image-Source: the same names, contents and
// permission bits always give the same bytes.
//
// The archive is to be unpacked over the root file system of a running machine, with GNU tar 1.26 or later:
//
//   - It has no directory entries. tar would replace the machine's link /lib -> usr/lib by a real directory, and set
//     the mode of / from "./". A manifest lists the directories instead. It is the first entry of the archive (see
//     [ManifestName]), and the guest program runs it before it unpacks the rest.
//   - Every entry is owned by 0:0, without user and group names, and has mtime 0.
//   - Permission bits are kept exactly, setuid, setgid and sticky included; symbolic links are kept as they are; a
//     file with several hard links becomes several files.
//   - Names are stored unchanged, in GNU's format. PAX headers can store long names too, but tar would convert them to
//     the character set of its locale.
//
// The package may not know Packer, AWS, or what an Image-Source is. It reads each file once, in pieces, so memory
// does not grow with the tree.
package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// Summary describes an archive that has been written.
type Summary struct {
	SHA256           string // of the compressed bytes, lower case hexadecimal
	Size             int64  // of the compressed bytes
	Entries          int    // files and links, the manifest not counted
	UncompressedSize int64  // of the tar, headers and padding included
}

// Write archives the directory dir to w. Progress, when not nil, is called with the number of bytes of the tar that are
// written, from the goroutine of the caller. When Write returns an error, the archive is not usable.
//
// It refuses devices, sockets and pipes, links that lead out of dir, and files that change while they are read, with an
// error that names the path below dir.
func Write(w io.Writer, dir string, progress func(written int64)) (Summary, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Summary{}, fmt.Errorf("open the tree to archive: %w", err)
	}
	defer root.Close()

	out := &hashingWriter{w: w, sum: sha256.New()}
	zip, err := newGzip(out)
	if err != nil {
		return Summary{}, err
	}
	a := &archiver{counter: &countingWriter{w: zip, progress: progress}, buffer: make([]byte, copySize)}
	a.tar = tar.NewWriter(a.counter)

	err = errors.Join(a.write(root), zip.Close())
	if err != nil {
		return Summary{}, err
	}
	return Summary{
		SHA256:           hex.EncodeToString(out.sum.Sum(nil)),
		Size:             out.n,
		Entries:          a.entries,
		UncompressedSize: a.counter.n,
	}, nil
}

// hashingWriter passes bytes on, and computes their hash and number.
type hashingWriter struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func (d *hashingWriter) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	d.sum.Write(p[:n])
	d.n += int64(n)
	return n, err
}

// countingWriter passes bytes on, counts them, and reports the progress.
type countingWriter struct {
	w        io.Writer
	n        int64
	progress func(int64)
}

func (t *countingWriter) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.n += int64(n)
	if t.progress != nil {
		t.progress(t.n)
	}
	return n, err
}
