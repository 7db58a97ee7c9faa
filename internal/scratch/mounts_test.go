// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package scratch

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestRemoveLeavesWhatIsMounted: a script that has mounted a directory of the user's below its work folder, and has
// failed before it could unmount it, loses no files.
func TestRemoveLeavesWhatIsMounted(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("only root can mount a directory, on Linux: run the tests as root")
		}
		t.Skip("only root can mount a directory")
	}
	home := t.TempDir()
	precious := filepath.Join(home, "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := In(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(d.Path, "a root", "home")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "--bind", home, at).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", at).Run() })
	if err := d.Remove(); err == nil || !strings.Contains(err.Error(), at+" is mounted") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	if out, err := exec.CommandContext(t.Context(), "umount", at).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
}
