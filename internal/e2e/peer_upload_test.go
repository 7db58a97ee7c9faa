// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build peer

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// uploadSource makes the files that are uploaded.
func uploadSource(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{
		"public": 0o644, "secret": 0o600, "tool": 0o755, "with space": 0o640, "quote'\"$(touch bad)`": 0o444,
		"tree/a": 0o644, "tree/.hidden": 0o600, "tree/sub/tool": 0o755, "tree/sub/deeper/-rf": 0o400,
		"tree/sub/with space": 0o666,
	} {
		put(t, filepath.Join(dir, name), "content of "+name+"\n", mode)
	}
	put(t, filepath.Join(dir, "nothing"), "", 0o644)
	put(t, filepath.Join(dir, "large"), incompressible(3<<20), 0o644)
	for name, mode := range map[string]os.FileMode{"tree/sub": 0o750, "tree/empty": 0o700,
		"tree/open": 0o777 | os.ModeSticky} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"tree/link": "a", "tree/linked": "sub", "link": "public"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// uploads are the settings of file provisioners; FILES is the directory of uploadSource. /srv/up is the login user's,
// and /srv/up/there/ and /srv/up/old are there before.
var uploads = []string{
	`source = "FILES/public"
    destination = "/tmp/public"`,
	`source = "FILES/secret"
    destination = "/srv/up/secret"`,
	`source = "FILES/tool"
    destination = "/srv/up/tool"`,
	`source = "FILES/nothing"
    destination = "/srv/up/nothing"`,
	`source = "FILES/large"
    destination = "/srv/up/large"`,
	`source = "FILES/link"
    destination = "/srv/up/link"`,
	`source = "FILES/public"
    destination = "~/at-home"`,
	`source = "FILES/public"
    destination = "relative"`,
	`source = "FILES/tool"
    destination = "there/"`,
	`source = "FILES/public"
    destination = "/srv/up/there/"`,
	`source = "FILES/tool"
    destination = "/srv/up/old"`,
	`source = "FILES/with space"
    destination = "/srv/up/with space"`,
	`source = "FILES/public"
    destination = "/srv/up/link-to-there/"`,
	`source = "FILES/public"
    destination = "/srv/up/link-to-old"`,
	`sources = ["FILES/public", "FILES/tool", "FILES/secret"]
    destination = "/srv/up/several/"`,
	`content = "from the template\n"
    destination = "/srv/up/content"`,
	`content = "from the template\n"
    destination = "/srv/up/there/content"`,
	`source = "FILES/tree"
    destination = "/srv/up/there"`,
	`source = "FILES/tree"
    destination = "/srv/up/there2/"`,
	`source = "FILES/tree/"
    destination = "/srv/up/contents"`,
	`source = "FILES/tree/"
    destination = "/srv/up/contents2/"`,
	`source = "FILES/tree"
    destination = "/srv/up/old-tree"`,
	`source = "FILES/tree"
    destination = "in-home"`,
	`source = "FILES/tree"
    destination = "~"`,
	`source = "FILES/tree"
    destination = "/srv/up/missing"`,
}

// uploadSetup makes what is there before.
const uploadSetup = `
sudo install -d -m 0755 -o "$(id -u)" -g "$(id -g)" /srv/up
cd /srv/up
mkdir there there2 several contents contents2 ~/there ~/in-home old-tree
ln -s there link-to-there
ln -s old2 link-to-old
echo old >old2
echo old >old && chmod 0640 old
mkdir -m 0711 old-tree/tree && echo old >old-tree/tree/a && chmod 0600 old-tree/tree/a && echo mine >old-tree/tree/mine
`

// TestPeerUploads checks that file provisioners make the same files over SSH and here.
func TestPeerUploads(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	source := uploadSource(t)
	var text strings.Builder
	fmt.Fprintf(&text, "  provisioner \"shell\" {\n    inline = [<<-EOF\n%s\n    EOF\n    ]\n  }\n", uploadSetup)
	for _, upload := range uploads {
		fmt.Fprintf(&text, "  provisioner \"file\" {\n    %s\n  }\n", strings.ReplaceAll(upload, "FILES", source))
	}
	// What is in /tmp is not in the image, so it is kept elsewhere.
	text.WriteString("  provisioner \"shell\" {\n    inline = [\"cp -p /tmp/public /srv/up/from-tmp\"]\n  }\n")
	onPeerGuests(t, func(t *testing.T, suite string) {
		before, after := l.bakeBoth(t, peerTemplate(t, "amazon-ebs", text.String()),
			peerTemplate(t, "bakery-userdata", text.String()), l.peerSettings(suite))
		l.comparable(t, before, after, "/srv/up/there/tree/sub/deeper/-rf", "/srv/up/from-tmp")
	})
}

// TestPeerUploadsThatFail checks that uploads which fail over SSH fail here as well, and so do those that scp changes.
func TestPeerUploadsThatFail(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	source := uploadSource(t)
	tests := map[string]struct {
		source, destination string
		theirs, ours        string // what packer says; "" is a bake that succeeds
	}{
		"a file onto a directory": {"tool", "/tmp", "directory", "directory"},
		"the contents of a directory into one there is not": {"tree/", "/tmp/missing", "Not a directory",
			"/tmp/missing does not exist: make it before"},
		"a file where the login user may not write": {"tool", "/etc/tool", "Permission denied",
			"Permission denied"},
		"a directory where the login user may not write": {"tree", "/etc", "Permission denied",
			"Permission denied"},
		"a file over one that the login user may not change": {"tool", "/etc/hostname", "Permission denied",
			"Permission denied"},
		// scp makes a file called /tmp/missing of this; the manual says so.
		"a file into a directory there is not": {"tool", "/tmp/missing/tool", "",
			"/tmp/missing does not exist: make it before"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // over SSH, most of a bake is waiting
			block := fmt.Sprintf("  provisioner \"file\" {\n    source = %q\n    destination = %q\n  }\n",
				source+"/"+test.source, test.destination)
			_, results := l.buildBoth(t, peerTemplate(t, "amazon-ebs", block),
				peerTemplate(t, "bakery-userdata", block), l.peerSettings("bookworm"))
			for i, want := range []string{test.theirs, test.ours} {
				if r := results[i]; (r.Code == 0) != (want == "") || !strings.Contains(r.Output, want) {
					t.Errorf("road %d: exit status %d, want %q", i, r.Code, want)
				}
			}
		})
	}
}
