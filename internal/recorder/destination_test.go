// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"os/exec"
	osuser "os/user"
	"path"
	"strings"
	"testing"
)

func TestDestinationsMeanTheSameAsOverSSH(t *testing.T) {
	for dst, want := range map[string]string{
		"/tmp/x":              "/tmp/x",
		"x":                   "./x",
		"-rf":                 "./-rf",
		"sub dir/x":           "./sub dir/x",
		"~/x":                 "/home/me/x",
		"~":                   "./~",
		"$HOME/x y":           "/home/me/x y",
		"${HOME}/a/b":         "/home/me/a/b",
		"~root/x":             "/root/x",
		"/tmp/~x":             "/tmp/~x",
		"/tmp/$x":             "/tmp/$x",
		"/tmp/it's \"$(id)\"": "/tmp/it's \"$(id)\"",
		"/tmp/../etc/x":       "/etc/x",
		"/x":                  "/x",
		"~/~root/x":           "/home/me/~root/x",
		"/tmp/é/\xff":         "/tmp/é/\xff",
		"$HOME":               "./$HOME",
		"a=b/c":               "./a=b/c",
		"/tmp/a#b/!c":         "/tmp/a#b/!c",
		"~/a  b/c":            "/home/me/a  b/c",
		"//tmp//x":            "/tmp/x",
		"~root/../tmp/x y":    "./tmp/x y",
	} {
		word, err := fileWord(dst, kindFile)
		if err != nil {
			t.Errorf("%q is refused: %v", dst, err)
			continue
		}
		if got := arrives(t, word); path.Clean(got) != path.Clean(want) {
			t.Errorf("%q is written %s and arrives as %q, want %q", dst, word, got, want)
		}
	}
	for dst, want := range map[string]string{
		"/tmp": "/tmp", "/tmp/": "/tmp", "~": "/home/me", "~/": "/home/me", "~root": "/root",
		"$HOME/a b/": "/home/me/a b", ".": "./.", "x/": "./x", "/": "/", "-x": "./-x", "~root/../tmp": "/root/../tmp",
		"/a/../b": "/a/../b",
	} {
		word, err := dirWord(dst, kindFile)
		if err != nil {
			t.Errorf("%q is refused: %v", dst, err)
			continue
		}
		if got := arrives(t, word); got != want {
			t.Errorf("%q is written %s and arrives as %q, want %q", dst, word, got, want)
		}
	}
}

// arrives returns the argument that the shell makes of a word. The word must be exactly one argument, and run nothing.
func arrives(t *testing.T, word string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "set -- "+word+"\nprintf '%s.%s' \"$#\" \"$1\"")
	cmd.Env = []string{"HOME=/home/me", "PATH=/nonexistent"} // whatever it tries to run, it does not find
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sh refuses %s: %v\n%s", word, err, out)
	}
	arg, ok := strings.CutPrefix(string(out), "1.")
	if !ok {
		t.Fatalf("sh reads %s as %q", word, out)
	}
	return arg
}

// FuzzDestination: every destination is refused, or arrives in the shell unchanged as one word, except that a home
// directory at its beginning is expanded.
func FuzzDestination(f *testing.F) {
	for _, dst := range []string{"/tmp/x", "~/x", "~root/x/y", "$HOME/x", "a b", "/tmp/$(id)", "/tmp/`id`/x", "~'x/y",
		"'", "-n", "\\", "{a,b}/c", "*", "~/*/x", "=x", "~:/x"} {
		f.Add(dst, true)
		f.Add(dst, false)
	}
	f.Fuzz(func(t *testing.T, dst string, isDir bool) {
		render := fileWord
		if isDir {
			render = dirWord
		}
		word, err := render(dst, kindFile)
		if err != nil {
			return
		}
		// Packer cuts the name off a file's destination and cleans the directory before it, in which a lone ~ is a
		// name. The shell gets the destination of a directory unchanged.
		want := dst
		if !isDir {
			want = path.Clean(dst)
		}
		first, rest, _ := strings.Cut(want, "/")
		homes := map[string]string{"$HOME": "/home/me", "${HOME}": "/home/me", "~": "/home/me"}
		if account, err := osuser.Lookup(strings.TrimPrefix(first, "~")); err == nil && user.MatchString(first) {
			homes[first] = account.HomeDir // of root, or of a user this computer happens to have
		}
		if home, ok := homes[first]; ok && (isDir || rest != "") {
			want = home + "/" + rest
		}
		want = path.Clean(want)
		got := path.Clean(arrives(t, word))
		if got != want {
			t.Errorf("%q is written %s and arrives as %q, want %q", dst, word, got, want)
		}
	})
}
