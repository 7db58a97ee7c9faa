// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package scratch

import (
	"os"
	"path/filepath"
	"strings"
)

// unescape reads a path of mountinfo: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mountedBelow returns what is mounted below a directory, or "". What a script has mounted there is not the
// directory's: to remove the directory would remove the files of somebody else's. Where there is no /proc, it returns
// nothing.
func mountedBelow(dir string) string {
	below, err := filepath.EvalSymlinks(dir)
	if err != nil {
		below = dir
	}
	if below, err = filepath.Abs(below); err != nil {
		return ""
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		const mountPoint = 4
		if fields := strings.Fields(line); len(fields) > mountPoint {
			if path := unescape.Replace(fields[mountPoint]); strings.HasPrefix(path, below+"/") {
				return path
			}
		}
	}
	return ""
}
