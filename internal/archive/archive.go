// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package archive turns the fs/ tree of an Image-Source into a tar.gz whose bytes depend on nothing but the tree:
// the same names, contents and permission bits give the same bytes, whoever archives them, wherever and whenever.
//
// The archive is made to be unpacked over the root file system of a machine that is already there, with any tar
// from GNU tar 1.26 on:
//
//   - It has no directory entries. tar would replace /lib -> usr/lib of the machine by a real directory, and set the
//     mode of / from "./". The directories of the tree are listed in a manifest instead, which is the first entry of
//     the archive (see [ManifestName]), and which the guest program runs before it unpacks the rest.
//   - Every entry is owned by 0:0, without user and group names, and has mtime 0.
//   - Permission bits are kept exactly, setuid, setgid and sticky included; symbolic links are kept as they are; a
//     file with several hard links becomes several files.
//
// The package may not know Packer, AWS, or what an Image-Source is. It reads each file once, in pieces, so memory
// does not grow with the tree.
package archive

import (
	"errors"
	"io"
)

// ManifestName is the name of the first entry of every archive: a POSIX sh fragment that calls
//
//	bakery_dir 0755 '/etc/app'
//
// once for each directory of the tree, parents first. Whoever sources it defines bakery_dir: it must create the
// directory with that mode when nothing is there, and must leave alone what is.
const ManifestName = "var/lib/bakery/fs.dirs.sh"

// Summary describes an archive that has been written.
type Summary struct {
	SHA256           string // of the compressed bytes, lower case hexadecimal
	Size             int64  // of the compressed bytes
	Entries          int    // files and links, the manifest not counted
	UncompressedSize int64  // of the tar, headers and padding included
}

// Write archives the directory dir to w. Progress, when not nil, is called with the number of bytes of the tar done
// so far, from the goroutine of the caller.
//
// It refuses what does not belong into an image (devices, sockets, pipes), links that lead out of dir, and files
// that change while they are read, with an error that names the path below dir.
func Write(w io.Writer, dir string, progress func(written int64)) (Summary, error) {
	return Summary{}, errors.New("not implemented yet")
}
