// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

var baseImages = flag.String("base-images", "bookworm,el",
	"the base images TestGuests bakes on, with commas between, or all; bakery-lab image build names them")

// baseImagesToTest returns the base images of the flag.
func baseImagesToTest() []string {
	if *baseImages == "all" {
		return cloud.ContainerSuites
	}
	return strings.Split(*baseImages, ",")
}

// baseImage is what is known of a base image. Where it is empty, it is like bookworm.
type baseImage struct {
	user string // of its cloud-init
	is   string // a command that fails on other base images, as root
	warn string // what a bake warns of
	// network is a file that cloud-init writes for the network of a machine, and that must not be in an image.
	network string
	keeps   bool // whether removed uploads stay in free blocks
}

var knownImages = map[string]baseImage{
	"bullseye": {is: "grep -q ^11 /etc/debian_version"},
	"bookworm": {is: "grep -q ^12 /etc/debian_version"},
	"trixie":   {is: "grep -q ^13 /etc/debian_version"},
	"forky":    {is: "grep -q forky /etc/os-release"},
	"el": {
		user:    "ec2-user",
		is:      "[ \"$(readlink /bin/sh)\" = bash ] && grep -q caf /root/.ssh/authorized_keys && ! command -v curl",
		network: "/etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection",
	},
	"al2":    {user: "ec2-user", is: "[ \"$(readlink /bin/sh)\" = bash ] && grep -q python2.7 /usr/bin/cloud-init"},
	"uutils": {is: "cp --version | grep uutils && sudo --version | grep sudo-rs"},
	"fips":   {is: "! python3 -c 'import hashlib; hashlib.md5()'"},
	"xfs":    {is: "grep -q ' / xfs ' /proc/mounts"},
	"btrfs": {
		is: "grep -q ' / btrfs ' /proc/mounts", warn: "warning: what the bake removed from / (btrfs)", keeps: true,
	},
}

// hardFailures are what packer must print of the bakes that fail.
var hardFailures = map[string][]string{
	"cloud-init": {
		"10_hook.cfg (boothook)", "exit status 7", "20_boot.cfg bootcmd[1]", "exit status 3", "cloud-init write_files",
		"cloud-config yum_repos",
	},
	"runcmd":      {"60_app.cfg runcmd[1] failed with exit status 3", "the middle"},
	"install":     {"script/install.sh failed with exit status 7", "one", "two"},
	"part":        {"70_setup.cfg failed with exit status 9", "in the part"},
	"provisioner": {"provisioner 1 (shell", "failed with exit status 5", "in the provisioner"},
}

// hardOrder is what the steps of the hard case write to /opt/hard/order.
const hardOrder = `boothook
bootcmd 0
bootcmd 1
install
provisioner two words
as root
runcmd 0
runcmd 2
part`

// TestGuests bakes a hard case on each base image: a boothook, bootcmd, users, write_files, fs/, install.sh,
// provisioners, a part and two reboots, with user data that is launched and that is staged, and a failure of each kind.
// It boots the images as new machines.
func TestGuests(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	for _, name := range part(baseImagesToTest()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l.checkGuest(t, name)
		})
	}
}

func (l *lab) checkGuest(t *testing.T, name string) {
	t.Helper()
	g, ok := knownImages[name]
	if !ok {
		t.Fatalf("nothing is known of the base image %q", name)
	}
	if g.user == "" {
		g.user = "debian"
	}
	l.cli(t, "image", "build", "--suite", name)
	base, image, secret := l.values["BAKERY_LAB_AMI_"+strings.ToUpper(name)], testName(t), secretOf(t)
	r := l.packerBuild(t, t.TempDir(), l.environ(t), "-parallel-builds=3", "-var", "name="+image,
		"-var", "source_ami="+base, "-var", "user="+g.user, "-var", "staged="+stagedSource(t),
		"-var", "secret="+secretTree(t, secret),
		"-var", "key_name="+l.importKey(t, newKey(t, "launch")), absolute(t, "testdata/hard.pkr.hcl"))
	for kind, want := range hardFailures {
		requireFailed(t, l, image+"-"+kind, r.Code, linesOf(r.Output, kind), want...)
	}
	for _, kind := range []string{"launched", "staged"} {
		if !strings.Contains(linesOf(r.Output, kind), g.warn) {
			t.Errorf("the bake did not warn of %q", g.warn)
		}
		t.Run(kind, func(t *testing.T) { l.checkHardImage(t, g, base, l.onlyImage(t, image+"-"+kind), secret) })
	}
}

// secretOf returns a text that is nowhere else.
func secretOf(t *testing.T) string {
	t.Helper()
	sum := sha256.Sum256([]byte(testName(t)))
	return hex.EncodeToString(sum[:])
}

// secretTree returns a directory with a file so full of a secret that some of its blocks stay as they are when it is
// only removed.
func secretTree(t *testing.T, secret string) string {
	t.Helper()
	return filepath.Join(write(t, map[string]string{"secret/in/file": strings.Repeat(secret+"\n", 10000)}), "secret")
}

// stagedSource returns a copy of the hard case's Image-Source whose user data is larger than EC2 takes.
func stagedSource(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(dir, os.DirFS("testdata/hard/image")); err != nil {
		t.Fatal(err)
	}
	text := "#cloud-config\nwrite_files:\n- {path: /opt/hard/large, content: " + large() + "}\n"
	if err := os.WriteFile(filepath.Join(dir, "cloudinit", "40_large.cfg"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// linesOf returns the lines that packer prints of one of the bakes of a template.
func linesOf(output, name string) string {
	var lines strings.Builder
	for line := range strings.Lines(output) {
		if strings.Contains(line, "bakery-userdata."+name+":") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// checkHardImage searches an image for what must not be in it, and boots it.
func (l *lab) checkHardImage(t *testing.T, g baseImage, base, image, secret string) {
	t.Helper()
	if g.network != "" {
		l.expectContent(t, image, map[string]string{g.network: "missing"})
	}
	if keys := l.content(t, base, rootsKeys); keys != "missing" {
		l.expectContent(t, image, map[string]string{rootsKeys: keys})
	}
	if keys := l.content(t, image, "/home/"+g.user+"/.ssh/authorized_keys"); strings.Contains(keys, "ssh-ed25519") {
		t.Errorf("the login user has the key of the launch: %s", keys)
	}
	l.expectContent(t, image, map[string]string{"/etc/machine-id": ""})
	if list := l.cli(t, "ls", image, "/etc/ssh"); strings.Contains(list, "ssh_host_") {
		t.Errorf("host keys of the bake's machine:\n%s", list)
	}
	for _, dir := range []string{"/var/lib", "/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants"} {
		if list := l.cli(t, "ls", image, dir); strings.Contains(list, "bakery") {
			t.Errorf("the guest program left something in %s:\n%s", dir, list)
		}
	}
	p := &plantedSecrets{lab: l}
	p.add(t, "the upload that was removed", secret)
	if found := p.inFile(t, p.snapshot(t, image)); len(found) > 0 && !g.keeps {
		t.Errorf("in the blocks of the image: %v", found)
	}
	instance := l.boot(t, image, "#cloud-config\nruncmd: [touch /root/own]\n")
	l.sh(t, instance, g.is)
	l.sh(t, instance, "test -e /root/own && test -s /etc/machine-id && ls /etc/ssh/ssh_host_*_key "+g.network)
	if diff := cmp.Diff(hardOrder, l.sh(t, instance, "cat /opt/hard/order")); diff != "" {
		t.Errorf("the steps ran in this order (-want +got):\n%s", diff)
	}
	if got := l.sh(t, instance, "sort -u /opt/hard/boots | wc -l"); got != "3" {
		t.Errorf("the bake's machine has booted %s times", got)
	}
	for script, want := range map[string]string{
		"stat -c '%a %U:%G' /usr/local/bin/hard-tool":                               "755 root:root",
		"stat -c '%a %U:%G' /opt/hard/written && cat /opt/hard/written":             "640 root:root\nhard\nmore",
		"cat /opt/hard/files/dir/one /opt/hard/files/two":                           "one\ntwo",
		"cut -d' ' -f1,3 /srv/app/.ssh/authorized_keys && id -gn app && id -Gn app": "ssh-ed25519 app\napp\napp users",
		"runuser -u app -- sudo -n id -un 2>/dev/null":                              "root",
		"runuser -u " + g.user + " -- sudo -n id -un 2>/dev/null":                   "root",
	} {
		if got := l.sh(t, instance, script); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}
