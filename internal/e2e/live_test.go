// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// tracingSource makes an Image-Source whose steps record what ran, in which order, as which user and in which folder.
func tracingSource(t *testing.T) string {
	t.Helper()
	source := write(t, map[string]string{
		"cloudinit/05_hook.sh": "#cloud-boothook\n#!/bin/sh\necho hook $(id -un) >>/order\n",
		"cloudinit/10_users.cfg": `#cloud-config
bootcmd:
- echo bootcmd $(pwd) >>/order
users:
- default
- name: app
  groups: [adm]
  homedir: /srv/app
write_files:
- path: /etc/app/early.conf
  owner: root:adm
  permissions: '0640'
  content: "é\n"
- path: /etc/app/encoded
  encoding: b64
  content: AAEC/w==
ssh_pwauth: false
timezone: Etc/GMT+5
runcmd:
- echo 10.0 $(id -un) $HOME $USER $LOGNAME $(umask) $(pwd) $(date +%Z) >>/order
- [sh, -c, 'echo "10.1 $0 $(id -un app)" >>/order', two words]
`,
		"cloudinit/20_more.cfg": "#cloud-config\nwrite_files:\n- path: /etc/app/more\n  content: more\nruncmd:\n" +
			"- test ! -e /opt/app && echo 20 >>/order\n",
		"cloudinit/60_after.cfg": "#cloud-config\nruncmd:\n- cd /opt/app && V=carried\n- echo 60 $V $(pwd) >>/order\n" +
			"- exec >/var/log/after-60 2>&1\n- echo printed\n",
		"cloudinit/70_script.cfg": "#!/bin/bash\narray=(70 $(pwd) $HOME)\necho \"${array[@]}\" >>/order\nexit 0\n",
		"script/install.sh": "#!/bin/sh\necho install $(pwd) $(cat /etc/app/compiled) >>/order\n" +
			"chown app:adm /opt/app/data\n",
		"script/compile.sh": "#!/bin/sh\nmkdir -p fs/etc/app\necho \"$TOKEN\" >fs/etc/app/compiled\n" +
			"echo compiling with $TOKEN\n",
	})
	for name, mode := range hostileFiles {
		put(t, filepath.Join(source, "fs", name), name, mode)
	}
	put(t, filepath.Join(source, "fs/opt/app/data"), incompressible(20000), 0o600)
	put(t, filepath.Join(source, "fs/opt/app/empty/.keep"), "", 0o644)
	for dir, mode := range map[string]os.FileMode{"opt/app": 0o750,
		"opt/app/empty": 0o700 | os.ModeSetgid | os.ModeSticky} {
		if err := os.Chmod(filepath.Join(source, "fs", dir), mode); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"opt/app/link": "data", "usr/local/bin/app": "/opt/app/data"} {
		if err := os.Symlink(target, filepath.Join(source, "fs", link)); err != nil {
			t.Fatal(err)
		}
	}
	return source
}

const tracingOrder = `hook root
bootcmd /
10.0 root /root root root 0022 / -05
10.1 two words app
20
install / compile-time-token
60 carried /opt/app
70 / /root`

// identity matches the lines of `bakery-lab diff` for files that differ between any two machines: what bakery-userdata
// cleans up and a provisioner does not, and what a login leaves. ldconfig's cache has inodes in it.
var identity = regexp.MustCompile(`^. (/(etc|var)/\.updated|` +
	`/etc/(machine-id|hostname|ssh/ssh_host_|sudoers\.d/90-cloud-init-users|sub[ug]id-?)|` +
	`/var/(lib/cloud|log/(cloud-init|journal|wtmp|lastlog)|cache/ldconfig/aux-cache)|/tmp/|/root/\.ssh|` +
	`/home/debian/\.(ssh/authorized_keys|sudo_as_admin)|` +
	// accounts compares these without the order of users.
	`/etc/(passwd|group|shadow|gshadow)-?)`)

// otherNumbers matches a file that differs only in the numbers of its owner.
var otherNumbers = regexp.MustCompile(`^~ \S+ owner (\d+):(\d+) => (\d+):(\d+)$`)

// differences lists the differences of two images, without those of identity. The default user of a machine that has
// booted was made before those of an Image-Source, and has another number.
func (l *lab) differences(t *testing.T, one, other string) []string {
	t.Helper()
	r := packertest.Run(t, t.TempDir(), l.environ(t), packertest.Built(t).Lab, "diff", one, other)
	if r.Code > 1 {
		t.Fatalf("bakery-lab diff: %s", r.Output)
	}
	before, after := l.accounts(t, other), l.accounts(t, one)
	different := slices.DeleteFunc(strings.Split(strings.TrimSpace(r.Output), "\n"), func(line string) bool {
		m := otherNumbers.FindStringSubmatch(line)
		return identity.MatchString(line) || m != nil &&
			before.names["u"+m[1]] == after.names["u"+m[3]] && before.names["g"+m[2]] == after.names["g"+m[4]]
	})
	if diff := cmp.Diff(before.lines, after.lines); diff != "" {
		different = append(different, "accounts:\n"+diff)
	}
	return different
}

// accounts are the users and groups of an image: their names by number, and their sorted lines without the numbers that
// depend on the order.
type accounts struct {
	names map[string]string
	lines []string
}

var givenInTurn = regexp.MustCompile(`:1\d{3}\b`)

func (l *lab) accounts(t *testing.T, image string) accounts {
	t.Helper()
	a := accounts{names: map[string]string{}}
	for kind, file := range map[string]string{"u": "/etc/passwd", "g": "/etc/group"} {
		for line := range strings.SplitSeq(l.cli(t, "cat", image, file), "\n") {
			fields := strings.Split(line, ":")
			a.names[kind+fields[2]] = fields[0]
			members := strings.Split(fields[len(fields)-1], ",")
			slices.Sort(members)
			fields[len(fields)-1] = strings.Join(members, ",")
			a.lines = append(a.lines, givenInTurn.ReplaceAllString(strings.Join(fields, ":"), ":1..."))
		}
	}
	slices.Sort(a.lines)
	return a
}

// TestLiveAndUserDataMakeTheSameImage applies one Image-Source over SSH and by user data, as image_source and joined:
// the images have to have the same files, modes, owners and effects.
func TestLiveAndUserDataMakeTheSameImage(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	source := tracingSource(t)
	for suite := range strings.SplitSeq(*guests, ",") {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			m := l.startSSH(t, suite, "")
			r := m.apply(t, source)
			if r.Code != 0 {
				t.Fatal("applying the Image-Source over SSH failed")
			}
			checkCompileEnvHidden(t, r.Output)
			if left := m.leftBehind(t); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
			over := m.image(t)
			if got := l.cli(t, "cat", over, "/order"); got != tracingOrder {
				t.Errorf("over SSH, the steps ran as\n%s", got)
			}
			for _, path := range []string{"named", "joined"} {
				image := testName(t)
				r := l.build(t, absolute(t, "testdata/live-userdata.pkr.hcl"), "path="+path, "source="+source,
					"name="+image, "source_ami="+l.values["BAKERY_LAB_AMI_"+strings.ToUpper(suite)])
				if r.Code != 0 {
					t.Fatal("the bake failed")
				}
				if path == "joined" {
					checkCompileEnvHidden(t, r.Output)
				}
				if different := l.differences(t, over, l.onlyImage(t, image)); len(different) > 0 {
					t.Errorf("over SSH and %s by user data, images differ in\n%s", path, strings.Join(different, "\n"))
				}
			}
		})
	}
}

// checkCompileEnvHidden checks that Packer shows the output of tracingSource's compile.sh, without the value of
// compile_env that it prints.
func checkCompileEnvHidden(t *testing.T, output string) {
	t.Helper()
	if !strings.Contains(output, "compiling with <sensitive>") || strings.Contains(output, "compile-time-token") {
		t.Errorf("a value of compile_env is shown, or the output of compile.sh is not:\n%s", output)
	}
}
