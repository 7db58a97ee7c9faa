// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// FuzzParseJoin: every content is refused, or is a join that can be written and read again.
func FuzzParseJoin(f *testing.F) {
	f.Add(Join{Source: "/src", CompileEnv: map[string]string{"A": "b"}, Strict: true, FSInlineLimit: 1}.Render())
	for _, seed := range []string{"", "{}", "null", "[]", `{"source":"/a"}{"source":"/b"}`, `{"source":"a"}`,
		`{"Source":"/a","source":"/b"}`, `{"source":"/a","x":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		j, err := ParseJoin(content)
		if err != nil {
			return
		}
		if !filepath.IsAbs(j.Source) {
			t.Errorf("the source %q is no absolute path", j.Source)
		}
		again, err := ParseJoin(j.Render())
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if len(j.CompileEnv) == 0 {
			j.CompileEnv = nil
		}
		if diff := cmp.Diff(j, again); diff != "" {
			t.Errorf("(-read +again):\n%s", diff)
		}
	})
}

// FuzzRead: every bundle is refused, or matches its vars.env, and all of its files are in its directory.
func FuzzRead(f *testing.F) {
	const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of nothing
	whole := "BAKERY_USERDATA_SHA256='" + sum + "'\nBAKERY_USERDATA_SIZE='0'\nBAKERY_FS_SHA256=''\n" +
		"BAKERY_FS_SIZE='0'\nBAKERY_FS_INLINE='false'\nNAME='x'\n"
	f.Add([]byte(whole), []byte{}, []byte{})
	f.Add([]byte(strings.Replace(whole, "FS_SHA256=''", "FS_SHA256='"+sum+"'", 1)), []byte{}, []byte{})
	f.Add([]byte(strings.Replace(whole, "SIZE='0'", "SIZE='-1'", 1)), []byte("x"), []byte("y"))
	f.Add([]byte("BAKERY_FS_SIZE=99999999999999999999"), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, vars, userData, tree []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{VarsName: vars, UserDataName: userData, FSName: tree} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b, err := Read(dir)
		if err != nil {
			return
		}
		if b.UserData.Size != int64(len(userData)) || b.FS.Path != "" && b.FS.Size != int64(len(tree)) {
			t.Errorf("it has %d and %d bytes, and says %d and %d", len(userData), len(tree), b.UserData.Size, b.FS.Size)
		}
		for _, file := range []File{b.UserData, b.FS} {
			if file.Path != "" && filepath.Dir(file.Path) != dir {
				t.Errorf("%s is not in the bundle", file.Path)
			}
		}
	})
}

// FuzzVarsThroughSh: sh and ParseEnv read every value of vars.env unchanged.
func FuzzVarsThroughSh(f *testing.F) {
	for _, value := range []string{"", "a b", "'", "$(id)", "`id`", "a\nb", "\\", "$HOME", "é\x1b[0m", "\xff"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !shell.CanQuote(value) || len(value) > 10000 {
			return
		}
		var v vars
		v.set("FIRST", value)
		v.set("LAST", "end")
		file := filepath.Join(t.TempDir(), VarsName)
		if err := os.WriteFile(file, v.render(), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", ". \"$0\"\nprintf %s \"$FIRST$LAST\"", file)
		cmd.Env = []string{"PATH=/nonexistent"}
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != value+"end" {
			t.Errorf("%q arrives as %q, %v", value, out, err)
		}
		env, problems := imagesource.ParseEnv(VarsName, v.render())
		if problems.Err() == nil && env.Vars["FIRST"] != value && !strings.Contains(value, "\r") {
			t.Errorf("%q is read as %q", value, env.Vars["FIRST"])
		}
	})
}
