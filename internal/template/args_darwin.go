// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package template

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ParentArgs returns the command line of the process that has started this one, which is Packer's for a plugin. It is
// empty where it cannot be read.
func ParentArgs() []string {
	// The number of words, the path of the program, zeros, and the words, each with a zero at its end. Source: the
	// manual page sysctl(3) of macOS, KERN_PROCARGS2.
	raw, err := unix.SysctlRaw("kern.procargs2", os.Getppid())
	if err != nil || len(raw) < 4 {
		return nil
	}
	count := int(binary.NativeEndian.Uint32(raw))
	_, rest, _ := bytes.Cut(raw[4:], []byte{0})
	words := strings.Split(strings.TrimLeft(string(rest), "\x00"), "\x00")
	return words[:min(count, len(words))]
}
