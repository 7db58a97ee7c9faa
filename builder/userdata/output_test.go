// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOutputFileIsRefusedBeforeLaunch(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string) (path, want string){
		"a directory": func(_ *testing.T, dir string) (string, string) { return dir, "is a directory" },
		"a name that ends in a slash": func(_ *testing.T, dir string) (string, string) {
			return dir + "/new/", "is a directory"
		},
		"below a file": func(t *testing.T, dir string) (string, string) {
			must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
			return filepath.Join(dir, "file", "out"), "not a directory"
		},
		"a link to nowhere": func(t *testing.T, dir string) (string, string) {
			must(t, os.Symlink("missing/out", filepath.Join(dir, "link")))
			return filepath.Join(dir, "link"), "make its directory first"
		},
		"a link to itself": func(t *testing.T, dir string) (string, string) {
			must(t, os.Symlink("link", filepath.Join(dir, "link")))
			return filepath.Join(dir, "link"), "too many"
		},
		"a file that cannot be written": func(t *testing.T, dir string) (string, string) {
			if os.Geteuid() == 0 { // who can write every file, but not a socket
				listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, "socket"))
				must(t, err)
				t.Cleanup(func() { _ = listener.Close() })
				return filepath.Join(dir, "socket"), "no such device"
			}
			must(t, os.WriteFile(filepath.Join(dir, "out"), nil, 0o400))
			return filepath.Join(dir, "out"), "permission denied"
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, want := prepare(t, t.TempDir())
			b, _, err := runBuild(t, func(b *testBuild) { b.config.OutputFile = path })
			checkErrorSays(t, err, "output_file: ", want)
			if b.launched() {
				t.Error("a machine was run")
			}
		})
	}
}

// The image is complete by then, so it stays; but who reads output_file must not take an earlier image for it.
func TestBakeFailsWhenOutputFileCannotBePutInItsPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	_, artifact, err := runBuild(t, func(b *testBuild) {
		b.config.OutputFile = path
		b.account.FailBefore["DeleteTags"] = awsfake.Then(func() { must(t, os.Mkdir(path, 0o755)) })
	})
	checkErrorSays(t, err, "output_file", "the image is complete and stays: hello-1 "+awsfake.NewImageID)
	if artifact != nil {
		t.Errorf("the artifact is %v", artifact)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside it are %v, %v", left, err)
	}
}

func TestOutputFileReplacesAnEarlierOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	must(t, os.WriteFile(path, []byte(strings.Repeat("of an earlier bake\n", 100)), 0o600))
	link := filepath.Join(dir, "link")
	must(t, os.Symlink("out", link))
	_, _, err := runBuild(t, func(b *testBuild) { b.config.OutputFile = link })
	must(t, err)
	text, err := os.ReadFile(path)
	if want := outputContent("hello-1", awsfake.NewImageID); err != nil || string(text) != want {
		t.Errorf("it is %q, %v", text, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is %v, %v", info, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("beside it are %v, %v", left, err)
	}
}
