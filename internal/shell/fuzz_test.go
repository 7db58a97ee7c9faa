// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package shell

import (
	"bytes"
	"os/exec"
	"testing"
)

// FuzzQuoteThroughSh: the sh of this computer reads every quoted text as one unchanged word, and an assignment of it as
// the same value. It runs no byte of it.
func FuzzQuoteThroughSh(f *testing.F) {
	for _, word := range words {
		f.Add(word, word)
	}
	f.Fuzz(func(t *testing.T, word, other string) {
		if !CanQuote(word) || !CanQuote(other) || len(word)+len(other) > 10000 { // a command line has its limits
			return
		}
		script := "set -- " + Quote(word) + " " + Quote(other) + "\n" + Assign("X", word) + "\n" +
			"[ \"$X\" = \"$1\" ] || printf 'another value '\nprintf '%s.%s' \"$#\" \"$1$2\""
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
		cmd.Env = []string{"PATH=/nonexistent"} // whatever it tries to run, it does not find
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "2."+word+other {
			t.Errorf("%q and %q arrive as %q, %v", word, other, out, err)
		}
	})
}

// FuzzCheck: every fault has a message and a position in the script.
func FuzzCheck(f *testing.F) {
	for _, script := range []string{"#!/bin/sh\ntrue\n", "if true\n", "a=(\n", "A\\\n0=~", "é=[0", "cat <<EOF\n",
		"echo $((1/0", "`", "\r\n)"} {
		f.Add([]byte(script))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		for _, interpreter := range []string{"sh", "bash", "python3"} {
			fault := Check(script, interpreter)
			if fault != nil && (fault.Message == "" || fault.Line < 0 ||
				fault.Line > bytes.Count(script, []byte("\n"))+1 || fault.Column < 0) {
				t.Errorf("%s: %+v", interpreter, fault)
			}
		}
	})
}
