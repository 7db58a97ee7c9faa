// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/packer-plugin-sdk/packer"
)

// FuzzCommand: a command line of a provisioner is refused, or the guest program's sh gets it unchanged, as one word.
func FuzzCommand(f *testing.F) {
	for _, command := range []string{"true", "echo 'a b' \"$HOME\" `id`", "a\nb", "'", "\\", "é", "\xff",
		"chmod +x /tmp/x; /tmp/x", "rm -f "} {
		f.Add(command, "Provisioning with shell script: a.sh")
	}
	f.Add("true", "Uploading a => /b\nPausing 1m0s before the next provisioner...\nProvisioning with Foo...")
	f.Fuzz(func(t *testing.T, command, printsOnly string) {
		r := New(t.TempDir())
		for line := range strings.Lines(printsOnly) {
			r.tracker.handle(strings.TrimSuffix(line, "\n"))
		}
		cmd := &packer.RemoteCmd{Command: command}
		if err := r.Start(t.Context(), cmd); err != nil {
			t.Fatal(err)
		}
		log, err := r.Close()
		if err != nil || len(log.Provisioners) == 0 {
			return
		}
		if name := log.Provisioners[0].Name; strings.ContainsFunc(
			name,
			func(r rune) bool { return r < ' ' || r > '~' },
		) {
			t.Errorf("the step is called %q", name)
		}
		if _, err := log.Digest(log.Provisioners[0]); err != nil {
			t.Error(err)
		}
		op := filepath.Join(log.Dir, replay, log.Provisioners[0].Dir, "0001")
		if content, err := os.ReadFile(op); err != nil || len(content) > 10000 {
			return
		}
		sh := exec.CommandContext(t.Context(), "/bin/sh", "-c",
			"bakery_command() { printf '%s.%s' \"$#\" \"$1\"; }\nbakery_try() { bakery_command \"$@\"; }\n"+
				"bakery_accept() { shift; bakery_command \"$@\"; }\n. \"$0\"", op)
		sh.Env = []string{"PATH=/nonexistent"} // whatever it tries to run, it does not find
		if out, err := sh.CombinedOutput(); err != nil || string(out) != "1."+command {
			t.Errorf("%q arrives as %q, %v", command, out, err)
		}
	})
}
