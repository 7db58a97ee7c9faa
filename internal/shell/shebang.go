// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package shell

import (
	"bytes"
	"path"
	"strings"
)

// Interpreter returns the name of the program in the "#!" line of a script: "sh" for "#!/bin/sh -e", "bash" for
// "#!/usr/bin/env -S bash -e", "sh" for "#!/bin/busybox sh". It is empty when the script has no "#!" line or when that
// line is empty.
func Interpreter(script []byte) string {
	line, _, _ := bytes.Cut(script, []byte("\n"))
	rest, ok := bytes.CutPrefix(line, []byte("#!"))
	if !ok {
		return ""
	}
	words := strings.Fields(string(rest))
	if len(words) == 0 {
		return ""
	}
	name := path.Base(words[0])
	if name != "env" && name != "busybox" {
		return name
	}
	for _, word := range words[1:] {
		if !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") {
			return path.Base(word)
		}
	}
	return name
}
