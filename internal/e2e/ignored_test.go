// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// failureOfCloudInit is an Image-Source of which cloud-init alone would ignore a failure.
type failureOfCloudInit struct {
	files  map[string]string
	shows  []string // in the message of the failure
	ignore string   // the name for ignore_failures, "" when nothing can be ignored
	done   string   // what /done is when it is ignored
}

// failuresOfCloudInit is run by bakes and by the live mode.
var failuresOfCloudInit = map[string]failureOfCloudInit{
	"a boothook with status 7": {
		files: map[string]string{
			"cloudinit/10_hook.cfg": "#cloud-boothook\n#!/bin/sh\necho id=$INSTANCE_ID >>/done\nexit 7\n",
			"cloudinit/20_hook.cfg": "#cloud-boothook\n#!/bin/sh\necho \"second $(umask) $PWD " +
				"$BAKERY_ID$bakery_dir\" >>/done\n",
		},
		shows:  []string{"10_hook.cfg (boothook)", "exit status 7"},
		ignore: "boothooks", done: "second 0022 / ",
	},
	"a boothook that cannot run": {
		files: map[string]string{
			"cloudinit/10_hook.cfg": "#cloud-boothook\n#!/no/such/shell\necho\n",
			"cloudinit/60_done.cfg": "#cloud-config\nruncmd: [echo rest >>/done]\n",
		},
		shows:  []string{"10_hook.cfg (boothook)", "exit status 127"},
		ignore: "boothooks", done: "rest",
	},
	"the first command of bootcmd": {
		files: map[string]string{
			"cloudinit/10_x.cfg": "#cloud-config\nbootcmd:\n- [sh, -c, exit 3]\n- echo on >>/done\n",
		},
		shows:  []string{"10_x.cfg bootcmd[0]", "exit status 3"},
		ignore: "bootcmd",
		done:   "on",
	},
	"a command of bootcmd under set -e": {
		files: map[string]string{
			"cloudinit/10_x.cfg": "#cloud-config\nbootcmd:\n- set -eu; IFS=0123; PATH=\n- set -C; umask 077\n" +
				"- cd /var/empty-or-not\n- echo on >>/done\n",
		},
		shows: []string{"10_x.cfg bootcmd[2]"},
	},
	"a command of bootcmd that ends the shell": {
		files: map[string]string{
			"cloudinit/10_x.cfg": "#cloud-config\nbootcmd:\n- echo one\n- exit 0\n",
			"cloudinit/20_y.cfg": "#cloud-config\nbootcmd:\n- echo two\n",
			"cloudinit/60_z.cfg": "#cloud-config\nruncmd: [echo rest >>/done]\n",
		},
		shows:  []string{"10_x.cfg bootcmd[1]", "ended the shell: 1 commands"},
		ignore: "bootcmd", done: "rest",
	},
	"the last command of bootcmd": {
		files: map[string]string{"cloudinit/10_x.cfg": "#cloud-config\nbootcmd:\n- echo one\n- exit 5\n"},
		shows: []string{"10_x.cfg bootcmd[1]", "exit status 5"},
	},
	"a key that no cloud-init knows": {
		files: map[string]string{
			"cloudinit/10_x.cfg": "#cloud-config\npakages: [hello]\n",
			"cloudinit/60_z.cfg": "#cloud-config\nruncmd: [echo rest >>/done]\n",
		},
		shows:  []string{`unknown key "pakages"`, `did you mean "packages"`}, // before anything is launched
		ignore: "unknown_keys", done: "rest",
	},
	"a key below another that no version knows": {
		files: map[string]string{
			"cloudinit/10_x.cfg": "#cloud-config\nwrite_files: [{path: /x, mod: '0600', content: x}]\n",
			"cloudinit/60_z.cfg": "#cloud-config\nruncmd: [echo rest >>/done]\n",
		},
		shows:  []string{"cloud-config write_files.mod", "does not know it"},
		ignore: "write_files", done: "rest",
	},
	"a warning of a module that was configured": {
		files: map[string]string{
			"cloudinit/10_x.cfg": "#cloud-config\nwrite_files: [{path: /x, encoding: rot13, content: x}]\n",
			"cloudinit/60_z.cfg": "#cloud-config\nruncmd: [echo rest >>/done]\n",
		},
		shows:  []string{"write_files", "rot13"},
		ignore: "write_files", done: "rest",
	},
}

// goodForCloudInit is what looks like a failure and is none.
var goodForCloudInit = map[string]map[string]string{
	"bootcmd whose state is carried over": {
		"cloudinit/10_x.cfg": "#cloud-config\nbootcmd:\n- 'cd /usr; f() { echo \"$1\" >>/done; }; v=\"a  b\"'\n- " +
			"set -eufC; IFS=0; PATH=\n" +
			"- f \"$v $PWD\"\n- |\n  f two \\\n- 'PATH=/bin; set +C; cat >>/done <<E\n\n  three\n\n  E'\n- exit 0\n",
	},
	"keys of all kinds": {
		"cloudinit/10_x.cfg": "#cloud-config\nhostname: x\nmanage_etc_hosts: true\nusers: [default, {name: ann}]\n" +
			"write_files: [{path: /done, content: ok}]\nssh_pwauth: false\noutput: {all: '| tee -a " +
			"/var/log/cloud-init-output.log'}\n" +
			"chpasswd: {expire: false}\ngrowpart: {mode: 'off'}\nresize_rootfs: false\n",
		"cloudinit/05_h.cfg": "#cloud-boothook\n#!/bin/sh\nexit 0\n",
	},
}

var goodForCloudInitDone = map[string]string{
	"bootcmd whose state is carried over": "a  b /usr\ntwo\nthree",
	"keys of all kinds":                   "ok",
}

// TestFailuresOfCloudInit bakes what cloud-init alone would ignore: it fails by name, and is a warning when the
// template says so.
func TestFailuresOfCloudInit(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	for suite := range strings.SplitSeq(*guests, ",") {
		ami := "source_ami=" + l.values["BAKERY_LAB_AMI_"+strings.ToUpper(suite)]
		for name, c := range failuresOfCloudInit {
			t.Run(suite+"/"+name, func(t *testing.T) {
				t.Parallel()
				c.bake(t, l, ami)
			})
		}
		for name, files := range goodForCloudInit {
			t.Run(suite+"/"+name, func(t *testing.T) {
				t.Parallel()
				image := testName(t)
				id := l.bake(t, image, absolute(t, template), "source="+write(t, files), "name="+image, ami)
				if got, want := l.cli(t, "cat", id, "/done"), goodForCloudInitDone[name]; got != want {
					t.Errorf("/done says %q, want %q", got, want)
				}
			})
		}
	}
}

// bake bakes it as it is, and with the failure ignored.
func (c failureOfCloudInit) bake(t *testing.T, l *lab, ami string) {
	t.Helper()
	image := testName(t)
	vars := []string{"source=" + write(t, c.files), "name=" + image, ami}
	r := l.build(t, absolute(t, template), vars...)
	requireFailed(t, l, image, r.Code, r.Output, c.shows...)
	if c.ignore == "" {
		return
	}
	r = l.build(t, absolute(t, template), append(vars, fmt.Sprintf("ignore=[%q]", c.ignore))...)
	if r.Code != 0 || !strings.Contains(r.Output, "warning: "+c.shows[0]) {
		t.Fatalf("exit status %d", r.Code)
	}
	if got := l.cli(t, "cat", l.onlyImage(t, image), "/done"); !strings.Contains(got+" ", c.done) {
		t.Errorf("/done says %q, want %q", got, c.done)
	}
}

// TestKeyWithoutModule bakes on a base image whose cloud-init does not have, or does not run, the modules of some keys.
func TestKeyWithoutModule(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	base := testName(t)
	id := l.bake(t, base, absolute(t, template), "name="+base, "source="+write(t, map[string]string{
		"script/install.sh": "#!/bin/sh\nset -e\nsed -i '/^ *- *timezone/d' /etc/cloud/cloud.cfg\n" +
			"rm /usr/lib/python3/dist-packages/cloudinit/config/cc_locale.py*\n" +
			"sed -i 's/\"distros\": \\[ALL_DISTROS\\]/\"distros\": [\"alpine\"]/;s/^distros = .*/distros = " +
			"[\"alpine\"]/' " +
			"/usr/lib/python3/dist-packages/cloudinit/config/cc_final_message.py\n",
	}))
	for key, c := range map[string]struct{ config, why string }{
		"timezone":      {"timezone: UTC", "lists of modules do not have timezone"},
		"locale":        {"locale: C.UTF-8", "cc_locale"},
		"final_message": {"final_message: bye", "is not for debian"},
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			image := testName(t)
			source := write(t, map[string]string{"cloudinit/10_x.cfg": "#cloud-config\n" + c.config + "\n",
				"script/install.sh": "#!/bin/sh\necho SHOULD-NOT-RUN\n"})
			r := l.build(t, absolute(t, template), "source="+source, "name="+image, "source_ami="+id)
			requireFailed(t, l, image, r.Code, r.Output, "cloud-config "+key, c.why)
			source = write(t, map[string]string{"cloudinit/10_x.cfg": "#cloud-config\n" + c.config + "\n"})
			r = l.build(t, absolute(t, template), "source="+source, "name="+image, "source_ami="+id,
				fmt.Sprintf("ignore=[%q]", key))
			if r.Code != 0 || !strings.Contains(r.Output, "warning: cloud-config "+key) {
				t.Errorf("exit status %d", r.Code)
			}
		})
	}
}

// TestLiveFailuresOfCloudInit applies the same over SSH.
func TestLiveFailuresOfCloudInit(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	m := l.startSSH(t, "bookworm", "")
	for name, c := range failuresOfCloudInit {
		t.Run(name, func(t *testing.T) {
			source := write(t, c.files)
			r := m.apply(t, source)
			flat := strings.Join(strings.Fields(strings.ReplaceAll(r.Output, "==> null.machine:", "")), " ")
			for _, want := range c.shows {
				if r.Code == 0 || !strings.Contains(flat, want) {
					t.Errorf("exit status %d, and packer did not say %q", r.Code, want)
				}
			}
			if c.ignore != "" {
				l.sh(t, m.id, "rm -f /done")
				r = m.apply(t, source, fmt.Sprintf("ignore=[%q]", c.ignore))
				if r.Code != 0 || !strings.Contains(r.Output, "Warning: ") {
					t.Errorf("exit status %d", r.Code)
				}
				if got := l.sh(t, m.id, "cat /done"); !strings.Contains(got+" ", c.done) {
					t.Errorf("/done says %q, want %q", got, c.done)
				}
			}
			if left := m.leftBehind(t); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
		})
	}
	for name, files := range goodForCloudInit {
		t.Run(name, func(t *testing.T) {
			l.sh(t, m.id, "rm -f /done")
			if r := m.apply(t, write(t, files)); r.Code != 0 {
				t.Fatalf("exit status %d", r.Code)
			}
			if got := l.sh(t, m.id, "cat /done"); strings.TrimSpace(got) != goodForCloudInitDone[name] {
				t.Errorf("/done says %q", got)
			}
		})
	}
}
