// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/cloudconfig"
)

// The functions of the guest program, and the paths of the disk in them.
var (
	cleanFunction = regexp.MustCompile(`(?ms)^bakery_clean_(\w+)\(\) \{\n(.*?)^\}`)
	diskPath      = regexp.MustCompile(`[\s>](/[^\s;'"]+|"\$bakery_home"/[^\s;]+)`)
	notOnDisk     = regexp.MustCompile(`^/(run|dev|sys|proc)/`)
	accessRules   = regexp.MustCompile(`(?m)^RULES = (.*)$`)
	quotedText    = regexp.MustCompile(`b"([^"]*)"`)
)

func guestProgram(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "guest", "program", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestTheTableOfTheCleanUpIsThatOfTheGuestProgram compares the table with the text of the guest program, so that nobody
// adds a path to one of them only.
func TestTheTableOfTheCleanUpIsThatOfTheGuestProgram(t *testing.T) {
	var got, want []string
	sections := map[string]bool{}
	for _, function := range cleanFunction.FindAllStringSubmatch(guestProgram(t, "bakery.sh"), -1) {
		sections[function[1]] = true
		for _, path := range diskPath.FindAllStringSubmatch(function[2], -1) {
			if !notOnDisk.MatchString(path[1]) {
				got = append(got, function[1]+" "+strings.Replace(path[1], `"$bakery_home"/`, "~/", 1))
			}
		}
	}
	for _, rule := range quotedText.FindAllStringSubmatch(accessRules.FindString(guestProgram(t, "rules.py")), -1) {
		got = append(got, "cloudinit_files "+rule[1])
	}
	if strings.Contains(guestProgram(t, "keys.py"), `b".ssh/authorized_keys .ssh/authorized_keys2"`) {
		got = append(got, "ssh_files ~/.ssh/authorized_keys")
	}
	for _, c := range CleanUp {
		want = append(want, c.Section+" "+c.Pattern)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("the clean-up (-table +guest program):\n%s", diff)
	}
	if len(sections) != 9 {
		t.Errorf("found %d sections of the clean-up in the guest program", len(sections))
	}
}

// TestTheEndOfABakeTouchesOnlyReservedPaths checks the paths outside of the sections.
func TestTheEndOfABakeTouchesOnlyReservedPaths(t *testing.T) {
	_, finish, _ := strings.Cut(guestProgram(t, "bakery.sh"), "\nbakery_finish() {\n")
	finish, _, _ = strings.Cut(finish, "\n}\n")
	for _, path := range diskPath.FindAllStringSubmatch(finish, -1) {
		// One that fs/ brings stays. The shell is only run.
		if p := strings.TrimPrefix(path[1], "/"); p != "etc/cloud/cloud-init.disabled" && p != "dev/null" && p != "" &&
			p != "bin/sh" && reserved(p) == "" {
			t.Errorf("/%s is neither in the table nor reserved", p)
		}
	}
}

func TestTheManualNamesEveryPathOfTheCleanUp(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "docs", "guest.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range CleanUp {
		if !strings.Contains(string(content), "`"+c.Pattern+"`") {
			t.Errorf("docs/guest.md does not name %s, where a user's own content may be lost", c.Pattern)
		}
	}
}

// cleanUpExamples returns a path below fs/ for each pattern of the table.
func cleanUpExamples() map[string]Cleaned {
	examples := map[string]Cleaned{}
	for _, c := range CleanUp {
		for _, pattern := range c.patterns() {
			path := strings.ReplaceAll(pattern, "*", "x")
			if strings.HasSuffix(path, "/") {
				path += ".hidden"
			}
			examples[path] = c
		}
	}
	return examples
}

func TestCheckFSWarnsOfWhatTheCleanUpTakes(t *testing.T) {
	for path, c := range cleanUpExamples() {
		dir := write(t, map[string]string{"fs/" + path: "mine"})
		want := []string{fmt.Sprintf("fs/%s: warning: the clean-up of a bake %s it, so its content will not be in the "+
			"image: put it elsewhere, or set skip_cleanup = [%q]", path, c.Effect, c.Section)}
		if c.Effect == KeepsOwn {
			want = nil
		}
		if diff := cmp.Diff(want, lines(dir, CheckFS(filepath.Join(dir, "fs")))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestCheckFSWarnsBelowWhatTheCleanUpTakes(t *testing.T) {
	dir := write(t, map[string]string{
		"fs/tmp/a/b": "", "fs/var/tmp/empty/": "", "fs/var/cache/dnf/repo/x.rpm": "", "fs/var/lib/cloud/data/x/y": "",
		// These stay.
		"fs/tmp2/x": "", "fs/var/cache/apt/archives/partial/x": "", "fs/var/log/app/x.log": "x",
		"fs/var/log/empty.log": "", "fs/var/cache/dnf/.hidden": "", "fs/var/lib/cloud/scripts/per-boot/x": "",
		"fs/var/lib/cloud/seed/nocloud/x": "", "fs/etc/machine-id": "", "fs/var/lib/dhcp/dhcpd.leases": "x",
		"fs/var/tmp2/": "", "fs/home/a/b/.bash_history": "",
	})
	link(t, dir, "fs/var/log/linked.log", "/data/linked.log")
	link(t, dir, "fs/var/lib/dbus/machine-id", "/etc/machine-id")
	link(t, dir, "fs/tmp/link", "/opt")
	problems := CheckFS(filepath.Join(dir, "fs"))
	problems.Sort()
	var got []string
	for _, p := range problems {
		got = append(got, p.File)
	}
	want := []string{"fs/tmp/a/b", "fs/tmp/link", "fs/var/cache/dnf/repo/x.rpm", "fs/var/lib/cloud/data/x/y",
		"fs/var/tmp/empty"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warned of (-want +got):\n%s", diff)
	}
}

func TestCheckFSWarnsOfWhatAnArchiveDoesNotCarry(t *testing.T) {
	dir := write(t, map[string]string{
		"fs/opt/a": "x", "fs/opt/plain": "x", "fs/opt/capable": "x", "fs/opt/user": "x", "fs/opt/downloaded": "x",
	})
	file := func(name string) string { return filepath.Join(dir, "fs/opt", name) }
	for _, name := range []string{"b", "c"} {
		if err := os.Link(file("a"), file(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(file("plain"), filepath.Join(dir, "outside")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file("sparse"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file("sparse"), 1<<20); err != nil {
		t.Fatal(err)
	}
	for name, attribute := range map[string]string{"user": "user.mine", "downloaded": "user.xdg.origin.url"} {
		if err := unix.Setxattr(file(name), attribute, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"fs/opt/b: warning: is a hard link to fs/opt/a, and will be a file of its own in the image: make it a " +
			"symbolic link, or link it in install.sh",
		"fs/opt/c: warning: is a hard link to fs/opt/a, and will be a file of its own in the image: make it a " +
			"symbolic link, or link it in install.sh",
		"fs/opt/capable: warning: has security.capability, which the archive of fs/ does not carry: set it in " +
			"install.sh, with setcap",
		"fs/opt/sparse: warning: is a sparse file, which will take all of its 1048576 bytes in the image: make it in " +
			"install.sh",
		"fs/opt/user: warning: has user.mine, which the archive of fs/ does not carry: set it in install.sh, with " +
			"setfattr",
	}
	// cap_net_bind_service=ep, as setcap writes it (struct vfs_cap_data of linux/capability.h). Only root may.
	const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	if err := unix.Setxattr(file("capable"), "security.capability", []byte(capability), 0); err != nil {
		t.Logf("without file capabilities: %v", err)
		want = slices.Delete(want, 2, 3)
	}
	problems := CheckFS(filepath.Join(dir, "fs"))
	problems.Sort()
	if diff := cmp.Diff(want, lines(dir, problems)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFilesThatAreWrittenWhereTheCleanUpGoesAreAnnounced(t *testing.T) {
	document, problems := cloudconfig.Parse("a.cfg", []byte("#cloud-config\nssh_keys: {rsa_private: x}\nwrite_files:\n"+
		"- {path: /var/log/mine.log, content: a}\n- {path: /root/.bash_history, content: a}\n"+
		"- {path: /etc/machine-id, content: a}\n- {path: /tmp/script.sh, content: a}\n- {path: /etc/app, content: a}\n"+
		"- {path: /etc/netplan/50-cloud-init.yaml, content: a}\n"))
	var got []string
	for _, p := range append(problems.Warnings(), CheckWritten("a.cfg", document)...) {
		got = append(got, fmt.Sprint(p.Line))
	}
	if diff := cmp.Diff([]string{"2", "4", "5", "6"}, got); diff != "" {
		t.Errorf("lines with a warning (-want +got):\n%s", diff)
	}
}
