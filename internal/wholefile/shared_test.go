// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package wholefile

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesOfOthersInASharedDirectoryAreRefused: another user who knows the name has put a link or a file there.
func TestFilesOfOthersInASharedDirectoryAreRefused(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("only root can make files of others: run it as root")
		}
		t.Skip("only root can make files of others")
	}
	const other = 54321
	precious := filepath.Join(t.TempDir(), "precious")
	for name, put := range map[string]func(path string) error{
		"a link":         func(path string) error { return os.Symlink(precious, path) },
		"a dangling one": func(path string) error { return os.Symlink(precious+"-not", path) },
		"a file":         func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(precious, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "bake.log")
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Lchown(path, other, other); err != nil {
				t.Fatal(err)
			}
			err := Write(path, Private, func(w io.Writer) error { _, err := fmt.Fprint(w, "secret"); return err })
			if err == nil || !strings.Contains(err.Error(), "belongs to another user") {
				t.Errorf("error %v", err)
			}
			if err := Check(path); err == nil {
				t.Error("it is not refused before the launch")
			}
			if text, _ := os.ReadFile(precious); string(text) != "mine" {
				t.Errorf("the file says %q", text)
			}
			if text, _ := os.ReadFile(path); strings.Contains(string(text), "secret") {
				t.Error("the other user can read the log")
			}
		})
	}
}
