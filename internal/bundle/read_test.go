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
)

func TestReadReadsACopyOfABundle(t *testing.T) {
	for name, limit := range map[string]int64{"inside": 0, "beside": -1} {
		t.Run(name, func(t *testing.T) {
			compiled := compile(t, Options{Source: imageSource(t, hello()), S3URL: "s3://bucket/fs.tgz",
				InlineLimit: limit})
			carried := filepath.Join(t.TempDir(), "carried")
			must(t, exec.Command("cp", "-r", compiled.Dir, carried).Run())
			got, err := Read(carried)
			must(t, err)
			want := *compiled
			want.Dir, want.UserData.Path = carried, filepath.Join(carried, UserDataName)
			if want.FS.Path != "" {
				want.FS.Path = filepath.Join(carried, FSName)
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("bundle (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadRefusesABundleThatIsNotComplete(t *testing.T) {
	write := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, name))) }
	}
	change := func(from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, VarsName)
			content, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, []byte(strings.Replace(string(content), from, to, 1)), 0o600))
		}
	}
	cases := map[string]struct {
		damage func(*testing.T, string)
		want   []string
	}{
		"no vars.env": {remove(VarsName),
			[]string{"vars.env is missing; compile the Image-Source into this directory first"}},
		"no userdata.gz": {remove(UserDataName), []string{"userdata.gz is missing; vars.env says it has "}},
		"no fs.tgz":      {remove(FSName), []string{"fs.tgz is missing; vars.env says it has "}},
		"a short fs.tgz": {write(FSName, "x"), []string{"fs.tgz has 1 bytes, vars.env says "}},
		"another userdata.gz": {change(varUserDataSHA256+"='", varUserDataSHA256+"='0"),
			[]string{"userdata.gz has the sha256 ", "vars.env says 0"}},
		"vars.env that runs things": {write(VarsName, "NAME=$(id)\n"), []string{"vars.env:1:6: "}},
		"vars.env of another tool": {write(VarsName, "NAME=x\n"), []string{
			`BAKERY_USERDATA_SIZE must be a number of bytes, and is ""`, `BAKERY_FS_SIZE must be`,
			`BAKERY_FS_INLINE must be true or false`, "user_data_file",
		}},
		"vars.env without a checksum": {change(varUserDataSHA256, "OTHER"),
			[]string{"vars.env: BAKERY_USERDATA_SHA256 is missing"}},
		"vars.env is a directory": {func(t *testing.T, dir string) {
			remove(VarsName)(t, dir)
			must(t, os.Mkdir(filepath.Join(dir, VarsName), 0o700))
		}, []string{"read vars.env: it is a folder, not a file"}},
		"two files damaged": {func(t *testing.T, dir string) {
			remove(FSName)(t, dir)
			write(UserDataName, "x")(t, dir)
		}, []string{"fs.tgz is missing", "userdata.gz has 1 bytes"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := compile(t, Options{Source: imageSource(t, hello()), InlineLimit: -1}).Dir
			c.damage(t, dir)
			_, err := Read(dir)
			if err == nil {
				t.Fatal("it is read")
			}
			for _, want := range append(c.want, "bundle "+dir+": ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant %s", err, want)
				}
			}
		})
	}
}
