// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"path"
	"slices"
	"strings"
)

// reserved returns the path of the bake itself that a path is equal to or below, or "". /var/run is a link to /run on
// every machine with systemd.
func reserved(rel string) string {
	for _, own := range []string{"var/run/fs.tgz", "var/run/install.sh", "run/fs.tgz", "run/install.sh",
		"var/lib/bakery", "etc/systemd/system/bakery.service", "etc/systemd/system/bakery-watchdog.service",
		"etc/systemd/system/multi-user.target.wants/bakery.service"} {
		if isInside(rel, own) {
			return "/" + own
		}
	}
	return ""
}

// nonDiskDir returns the directory above a path that is not on the machine's disk, or "".
func nonDiskDir(rel string) string {
	for _, dir := range []string{"run", "var/run", "dev", "proc", "sys"} {
		if rel != dir && isInside(rel, dir) {
			return dir
		}
	}
	return ""
}

// isInside reports whether a path is dir or below it.
func isInside(rel, dir string) bool { return rel == dir || strings.HasPrefix(rel, dir+"/") }

// systemDirs are folders, or links to folders, on every machine. tar would replace them by a file or link of that name,
// and a machine without /lib does not boot again.
var systemDirs = []string{
	"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root", "run", "sbin", "sys", "usr",
	"usr/bin",
	"usr/lib", "usr/lib64", "usr/sbin", "var", "var/lib", "var/run",
}

func systemDir(rel string) bool { return slices.Contains(systemDirs, rel) }

// isUsualLink reports whether a link is the one that machines have in its place: /lib to /usr/lib, /var/run to /run.
func isUsualLink(rel, target string) bool {
	resolved := path.Clean(target)
	if !path.IsAbs(target) {
		resolved = path.Join("/", path.Dir(rel), target)
	}
	return resolved == "/usr/"+rel || rel == "var/run" && resolved == "/run"
}
