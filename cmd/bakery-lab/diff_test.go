// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plant creates a tree. Names that end in / are directories, texts that begin with -> are links.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch to, link := strings.CutPrefix(text, "->"); {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = os.Symlink(to, path)
		default:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestDifferencesOfTrees(t *testing.T) {
	old := plant(t, map[string]string{"same": "x", "gone": "x", "text": "a", "link": "->a", "kind": "x", "mode": "x",
		"d/": ""})
	now := plant(t, map[string]string{"same": "x", "new/file": "abc", "text": "b", "link": "->b", "kind/": "",
		"mode": "x", "d/": "", "a b": ""})
	if err := os.Chmod(filepath.Join(now, "mode"), 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	count, err := compare(&out, old, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	me := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	sum := func(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }
	want := strings.Join([]string{
		`+ "/a b" file 0644 ` + me + " 0 " + sum(""),
		"- /gone file 0644 " + me + " 1 " + sum("x"),
		"~ /kind type file => directory, mode 0644 => 0755, size 1 => 0",
		"~ /link content -> a => -> b",
		"~ /mode mode 0644 => 4755",
		"+ /new directory 0755 " + me + " 0",
		"+ /new/file file 0644 " + me + " 3 " + sum("abc"),
		"~ /text content " + sum("a") + " => " + sum("b"),
	}, "\n") + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" || count != 8 {
		t.Errorf("%d differences: %s", count, diff)
	}
}

func TestFlagsMayStandAnywhereBeforeTheDashes(t *testing.T) {
	f := flags("boot")
	name := f.String("name", "", "")
	words, rest, err := parse(f, []string{"ami-1", "--name", "n", "more", "--", "--name", "x"})
	if err != nil || *name != "n" {
		t.Errorf("name %q, %v", *name, err)
	}
	if diff := cmp.Diff([][]string{{"ami-1", "more"}, {"--name", "x"}}, [][]string{words, rest}); diff != "" {
		t.Error(diff)
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	var all strings.Builder
	help(&all)
	for _, c := range commands() {
		if c.inside == strings.Contains(all.String(), "\n  "+c.name+" ") {
			t.Errorf("%s: in the help %v", c.name, !c.inside)
		}
	}
}

func TestDifferencesThatAreIgnored(t *testing.T) {
	old := plant(t, map[string]string{"var/log/a": "1", "etc/ssh/ssh_host_rsa_key": "1", "etc/hostname": "a",
		"kept": "1"})
	now := plant(t, map[string]string{"var/log/b/c": "2", "etc/ssh/ssh_host_ed25519_key": "2", "etc/hostname": "b",
		"kept": "2"})
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list,
		[]byte("# what each machine has of its own\n/etc/ssh/ssh_host_*\n\n/etc/hostname # its name\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	var ignored ignore
	f := flags("diff")
	ignored.define(f)
	if _, _, err := parse(f, []string{"--ignore", "/var/log", "--ignore-from", list}); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if count, err := compare(&out, old, now, ignored); err != nil || count != 1 ||
		!strings.HasPrefix(out.String(), "~ /kept content ") {
		t.Errorf("%d, %v:\n%s", count, err, out.String())
	}
	for _, bad := range []string{"var/log", "/[", ""} {
		if err := ignored.add(bad); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}
