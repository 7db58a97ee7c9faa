// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostileFiles are names and modes that archives and shells often get wrong.
var hostileFiles = map[string]os.FileMode{
	"lib/bakery-test/in-lib":      0o644, // /lib is a symbolic link on the machine
	"bin/bakery-in-bin":           0o755, // so is /bin
	"var/run/bakery-in-run":       0o644, // and /var/run, to a tmpfs
	"usr/local/bin/bakery-setuid": 0o755 | os.ModeSetuid,
	"opt/x/with space":            0o600,
	"opt/x/naïve-Ünï":             0o640,
	"opt/x/line\nbreak":           0o644,
	"opt/x/quote'\"$(touch bad)`": 0o444,
	"opt/x/back\\slash":           0o644,
	"opt/x/-rf":                   0o644,
}

// TestFS bakes an fs/ with names, modes and links that archives and shells often get wrong, and a large file. The
// image has to boot and hold all of it.
func TestFS(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	source := t.TempDir()
	fs := filepath.Join(source, "fs")
	for name, mode := range hostileFiles {
		put(t, filepath.Join(fs, name), name, mode)
	}
	if err := os.MkdirAll(filepath.Join(fs, "opt/x/empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(fs, "opt/x/empty"), 0o2750|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"opt/x/link": "with space", "opt/x/absolute": "/usr/bin/env"} {
		if err := os.Symlink(target, filepath.Join(fs, link)); err != nil {
			t.Fatal(err)
		}
	}
	sum := randomFile(t, filepath.Join(fs, "opt/x/big"), bigFileSize())
	image := testName(t)
	id := l.bake(t, image, absolute(t, template), "source="+source, "name="+image)

	instance := l.boot(t, id, "#cloud-config\n")
	for path, want := range map[string]string{"/lib": "symbolic link", "/bin": "symbolic link",
		"/var/run": "symbolic link"} {
		if got := l.sh(t, instance, "stat -c %F "+path); got != want {
			t.Errorf("%s is a %s", path, got)
		}
	}
	got := l.sh(t, instance, `cd /opt/x && find . /lib/bakery-test/in-lib /bin/bakery-in-bin `+
		`/usr/local/bin/bakery-setuid `+
		`-printf '%p|%m|%u:%g|%y|%l\0' | sort -z | tr '\n\0' '?\n'`)
	for _, want := range []string{
		"./with space|600|root:root|f|", "./naïve-Ünï|640|root:root|f|", "./line?break|644|root:root|f|",
		"./quote'\"$(touch bad)`|444|root:root|f|", "./back\\slash|644|root:root|f|", "./-rf|644|root:root|f|",
		"./empty|2750|root:root|d|", "./link|777|root:root|l|with space", "./absolute|777|root:root|l|/usr/bin/env",
		"./big|644|root:root|f|", "/lib/bakery-test/in-lib|644|root:root|f|", "/bin/bakery-in-bin|755|root:root|f|",
		"/usr/local/bin/bakery-setuid|4755|root:root|f|",
	} {
		if !strings.Contains("\n"+got+"\n", "\n"+want+"\n") {
			t.Errorf("the image lacks %q; it has\n%s", want, got)
		}
	}
	if got := l.sh(t, instance, "sha256sum </opt/x/big"); !strings.HasPrefix(got, sum) {
		t.Errorf("the large file came out as %s, not %s", got, sum)
	}
}

// put writes a file with exactly a mode.
func put(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
