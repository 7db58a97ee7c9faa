// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// Each folder of testdata/merge is an Image-Source's cloudinit/; merged.golden is the expected result.
func TestMerge(t *testing.T) {
	folders, err := filepath.Glob("testdata/merge/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			golden := filepath.Join(folder, "merged.golden")
			got := mergeFolder(t, folder)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// mergeFolder parses and merges the parts of a folder, and returns the result as text.
func mergeFolder(t *testing.T, folder string) string {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(folder, "[0-9]*"))
	if err != nil {
		t.Fatal(err)
	}
	var docs []*Document
	var b strings.Builder
	for _, part := range parts {
		content, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		// Values of every form are merged here, also those with which a module of cloud-init fails.
		doc, problems := ParseWith(filepath.Base(part), content, Options{
			Ignore: []string{"apt", "clé", "hostname", "with: colon", "write_files"},
		})
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	merged, problems := Merge(docs)
	b.Write(merged.Config)
	fmt.Fprintf(&b, "=== keys\n%s\n", strings.Join(merged.Keys, " "))
	for _, part := range merged.Runcmd {
		for _, c := range part.Commands {
			fmt.Fprintf(&b, "=== %s runcmd[%d]\n%s\n", part.Part, c.Index, c.Script)
		}
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "=== %s\n", p)
	}
	again, _ := Merge(docs)
	if diff := cmp.Diff(merged, again); diff != "" {
		t.Errorf("merging changed the documents (-first +second):\n%s", diff)
	}
	return b.String()
}

// FuzzParse: no input makes Parse panic, and what Merge writes is ASCII that reads back as the same data.
func FuzzParse(f *testing.F) {
	parts, _ := filepath.Glob("testdata/merge/*/[0-9]*")
	for _, part := range parts {
		content, err := os.ReadFile(part)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	for _, seed := range []string{
		"a: &a [*a]", "a:\n\t- b", "? [a]\n: b", "runcmd: [[a, 'b'], 'c\n d']", "!!binary a: b", "- a",
		"a: .inf\nb: .nan\nc: 1e999\nd: 0x",
		"users: [{name: x, uid: -0b1}]", "\"\\ud800\": 1", "a: !!int 0o9", "<<: {a: b}\na: c",
		"%YAML 1.1\n---\na: b\n...\n", "a: |4+\n      x\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		doc, problems := Parse("x.cfg", content)
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("a problem without its place: %#v", p)
			}
		}
		merged, problems := Merge([]*Document{doc})
		if len(problems) > 0 {
			t.Errorf("merging one part has problems: %v", problems)
		}
		if slices.ContainsFunc(merged.Config, func(b byte) bool {
			return b > 0x7e ||
				b < ' ' && b != '\n' && b != '\t'
		}) {
			t.Errorf("not ASCII: %q", merged.Config)
		}
		if problems.Err() != nil {
			return
		}
		again, problems := Parse("merged.cfg", merged.Config)
		if before := doc.root; len(before.Content) > 0 {
			if diff := cmp.Diff(plain(before), plain(again.root)); diff != "" {
				t.Errorf("written as\n%s\nwhich is other data (-before +after):\n%s\n%v", merged.Config, diff, problems)
			}
		}
	})
}
