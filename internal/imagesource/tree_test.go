// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func link(t *testing.T, dir, name, target string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestCheckFSAcceptsWhatAnImageCanContain(t *testing.T) {
	dir := write(t, map[string]string{
		"fs/lib/x": "", "fs/bin/x": "", "fs/usr/local/bin/tool": "", "fs/empty/": "", "fs/with space/é/a\nb": "",
		"fs/not-utf8-\xff/x":          "",
		"fs/var/lib/bakery-of-ours/x": "", "fs/run/": "", "fs/var/run/": "",
	})
	if err := os.Chmod(filepath.Join(dir, "fs/usr/local/bin/tool"), 0o4711); err != nil {
		t.Fatal(err)
	}
	link(t, dir, "fs/etc/absolute", "/usr/share/x")
	link(t, dir, "fs/etc/relative", "../usr/share/x")
	link(t, dir, "fs/etc/to-the-root", "..")
	link(t, dir, "fs/etc/dangling", "nowhere")
	link(t, dir, "fs/etc/loop", "loop")
	link(t, dir, "fs/sbin", "usr/sbin")
	link(t, dir, "fs/lib64", "/usr/lib64")
	if problems := CheckFS(filepath.Join(dir, "fs")); problems != nil {
		t.Errorf("problems: %q", lines(dir, problems))
	}
}

func TestCheckFSReports(t *testing.T) {
	dir := write(t, map[string]string{
		"fs/var/run/fs.tgz": "", "fs/var/run/install.sh/x": "", "fs/run/fs.tgz": "", "fs/var/lib/bakery/a": "",
		"fs/var/lib/bakery/b": "",
		"fs/run/x":            "", "fs/var/run/y": "", "fs/dev/x": "", "fs/etc": "", "fs/usr/lib": "",
	})
	link(t, dir, "fs/lib", "/opt/lib")
	link(t, dir, "fs/bin", "usr/sbin")
	link(t, dir, "fs/opt/up", "../../etc")
	link(t, dir, "fs/up", "..")
	link(t, dir, "fs/opt/\xff", "../../\x1b")
	link(t, dir, "fs/opt/source", filepath.Join(dir, "fs", "opt"))
	if err := syscall.Mkfifo(filepath.Join(dir, "fs/opt/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	// A socket's path may be at most 107 bytes long, so it is made from a short one.
	t.Chdir(filepath.Join(dir, "fs/opt"))
	socket, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	problems := CheckFS(filepath.Join(dir, "fs"))
	problems.Sort()
	want := []string{
		`"fs/opt/\xff": is a link that leads out of the tree, to "../../\x1b": make it a path inside of the image`,
		"fs/bin: is a link where every machine has a folder or a link of its own: /bin would be lost",
		"fs/dev/x: warning: /dev is not on the disk of a machine, so this will not be in the image: have " +
			"systemd-tmpfiles make it at boot",
		"fs/etc: is a file where every machine has a folder or a link to one: /etc would be lost",
		"fs/lib: is a link where every machine has a folder or a link of its own: /lib would be lost",
		"fs/opt/pipe: is a named pipe, which cannot be put into an image: remove it, and make it in install.sh if " +
			"the image needs one",
		"fs/opt/socket: is a socket, which cannot be put into an image: remove it, and make it in install.sh if " +
			"the image needs one",
		"fs/opt/source: is a link to DIR/fs/opt on this computer, which no machine has: write the path as it is in " +
			"the image",
		"fs/opt/up: is a link that leads out of the tree, to ../../etc: make it a path inside of the image",
		"fs/run/fs.tgz: /run/fs.tgz is bakery's own place on the machine: put it elsewhere",
		"fs/run/x: warning: /run is not on the disk of a machine, so this will not be in the image: have " +
			"systemd-tmpfiles make it at boot",
		"fs/up: is a link that leads out of the tree, to ..: make it a path inside of the image",
		"fs/usr/lib: is a file where every machine has a folder or a link to one: /usr/lib would be lost",
		"fs/var/lib/bakery: /var/lib/bakery is bakery's own place on the machine: put it elsewhere",
		"fs/var/run/fs.tgz: /var/run/fs.tgz is bakery's own place on the machine: put it elsewhere",
		"fs/var/run/install.sh: /var/run/install.sh is bakery's own place on the machine: put it elsewhere",
		"fs/var/run/y: warning: /var/run is not on the disk of a machine, so this will not be in the image: have " +
			"systemd-tmpfiles make it at boot",
	}
	if diff := cmp.Diff(want, lines(dir, problems)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCheckFSReportsUnreadableFiles(t *testing.T) {
	dir := write(t, map[string]string{"fs/etc/secret": "", "fs/etc/open": ""})
	if err := os.Chmod(filepath.Join(dir, "fs/etc/secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Tests may run as root, who can read every file.
	refuse := func(path string) (io.ReadCloser, error) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
	}
	tree := &tree{dir: filepath.Join(dir, "fs"), name: "fs", open: refuse}
	tree.walk()
	if diff := cmp.Diff([]string{"fs/etc/secret: read it: permission denied"}, lines(dir, tree.problems)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if problems := CheckFS(filepath.Join(dir, "missing")); len(problems) != 1 {
		t.Errorf("a missing fs/ gives %q", lines(dir, problems))
	}
}

func TestCheckFSReportsLinksIntoTheSourceByEitherName(t *testing.T) {
	dir := write(t, map[string]string{"real/fs/opt/": ""})
	link(t, dir, "alias", "real")
	link(t, dir, "real/fs/opt/a", filepath.Join(dir, "alias", "x"))
	link(t, dir, "real/fs/opt/b", filepath.Join(dir, "real", "x"))
	if problems := CheckFS(filepath.Join(dir, "alias", "fs")); len(problems) != 2 {
		t.Errorf("both links lead to the source, by either name, but the problems are %q", lines(dir, problems))
	}
}
