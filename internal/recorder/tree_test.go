// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// spaced is a name whose last space sh drops when it reads a line into words.
const spaced = "ends with a space "

func TestUploadDirStoresTheSameFilesAsScp(t *testing.T) {
	src := files(t, map[string]string{
		"top/a.sh":        "a",
		"top/" + spaced:   "s",
		"top/sub/b":       "b",
		"top/.git/config": "g",
		"top/sub/x.bak":   "x",
		"elsewhere/c":     "c",
		"top/empty/x.bak": "",
	})
	top := filepath.Join(src, "top")
	for link, target := range map[string]string{"dir": "../elsewhere", "file": "a.sh"} {
		if err := os.Symlink(target, filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(top, "sub"), 0o2711); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		src     string
		exclude []string
		want    string
	}{
		"itself": {top, []string{".git", "*.bak"},
			"'top' {d 0755 ./|f 0750 {a} ./a.sh/|d 0777 ./dir/|f 0640 {c} ./dir/c/|d 0755 ./empty/|" +
				"f 0640 {s} ./ends with a space /|f 0644 {a} ./file/|d 0711 ./sub/|f 0640 {b} ./sub/b/|}"},
		"what a link leads to": {top + "/dir", nil, "'dir' {d 0755 ./|f 0640 {c} ./c/|}"},
		"its contents, with excluded paths": {top + "/",
			[]string{"sub/", "empty", ".git/config", "dir", "file", "[", "e*"},
			"'' {d 0755 ./.git/|f 0750 {a} ./a.sh/|}"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			if err := b.rec.UploadDir("/opt", c.src, c.exclude); err != nil {
				t.Fatal(err)
			}
			log, err := b.rec.Close()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("001 provisioner 1\n  bakery_updir '/opt' "+c.want+"\n", text(t, log)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
