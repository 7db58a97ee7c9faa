// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package shell

import (
	"os/exec"
	"testing"
)

// FuzzQuoteThroughSh: whatever is quoted, the sh of this computer reads as one word that is itself, and an assignment of it
// as the value: no byte of it is run.
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
