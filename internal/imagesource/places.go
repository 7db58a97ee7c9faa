// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// reserved gives the place of bakery's own that a path is at or in, "" when it is free. /var/run is a link to /run on every
// machine with systemd.
func reserved(rel string) string {
	for _, own := range []string{"var/run/fs.tgz", "var/run/install.sh", "run/fs.tgz", "run/install.sh", "var/lib/bakery"} {
		if within(rel, own) {
			return "/" + own
		}
	}
	return ""
}

// volatile gives the file system that a path is on when that is not the machine's disk, "" when it is.
func volatile(rel string) string {
	for _, place := range []string{"run", "var/run", "dev", "proc", "sys"} {
		if rel != place && within(rel, place) {
			return place
		}
	}
	return ""
}

// within tells whether a path is the place or below it.
func within(rel, place string) bool { return rel == place || strings.HasPrefix(rel, place+"/") }

// systemDirs are folders, or links to folders, on every machine. A tar that holds something else by that name replaces
// them, and a machine without /lib does not boot again.
var systemDirs = []string{
	"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root", "run", "sbin", "sys", "usr", "usr/bin",
	"usr/lib", "usr/lib64", "usr/sbin", "var", "var/lib", "var/run",
}

func systemDir(rel string) bool { return slices.Contains(systemDirs, rel) }

// usual tells whether a link at a system folder is the one machines have anyway: /lib to /usr/lib, /var/run to /run.
func usual(rel, target string) bool {
	resolved := path.Clean(target)
	if !path.IsAbs(target) {
		resolved = path.Join("/", path.Dir(rel), target)
	}
	return resolved == "/usr/"+rel || rel == "var/run" && resolved == "/run"
}

// kindOf names what a file is, other than a regular one.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeDevice != 0:
		return "a device"
	default:
		return "not a regular file"
	}
}
