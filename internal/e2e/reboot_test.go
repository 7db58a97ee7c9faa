// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"strings"
	"testing"
)

// TestReboots checks that a reboot ends the step that asked for it, and that the bake continues with the next.
func TestReboots(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	source := write(t, map[string]string{
		"cloudinit/10_first.cfg": "#cloud-config\nruncmd:\n- echo 10 >>/order\n",
		"script/install.sh": "#!/bin/sh\necho install >>/order\ncat /proc/sys/kernel/random/boot_id >>/boots\n" +
			"reboot\n",
		"cloudinit/60_second.cfg": "#cloud-config\nruncmd:\n- echo 60.0 >>/order\n- [reboot]\n- echo 60.2 >>/order\n",
		"cloudinit/80_fourth.cfg": "#cloud-config\nruncmd:\n- exit 0\n", // no command comes after it
		"cloudinit/70_third.cfg":  "#!/bin/sh\necho 70 >>/order\n",
	})
	id := l.bake(t, image, absolute(t, template), "source="+source, "name="+image)
	if got, want := l.cli(t, "cat", id, "/order"), "10\ninstall\n60.0\n60.2\n70"; got != want {
		t.Errorf("the steps ran as %q, want %q", got, want)
	}
	for _, dir := range []string{"/var/lib", "/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants"} {
		if list := l.cli(t, "ls", id, dir); strings.Contains(list, "bakery") {
			t.Errorf("the guest program left something in %s:\n%s", dir, list)
		}
	}
}

// TestWantedReboots checks that a step may ask for its reboot in every way.
func TestWantedReboots(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	source := write(t, map[string]string{
		"fs/opt/restart.sh": "#!/bin/sh\nshutdown -r now\n",
		"script/install.sh": "#!/bin/sh\n# The script that it calls asks.\necho install >>/order\nsh " +
			"/opt/restart.sh\nsleep 600\n",
		"cloudinit/60_a.cfg": "#!/bin/sh\necho 60 >>/order\nsystemctl --no-block reboot\nsleep 600\n",
		"cloudinit/61_b.cfg": "#!/bin/sh\necho 61 >>/order\n(sleep 2; reboot) &\nsleep 600\n",
		"cloudinit/62_c.cfg": "#!/usr/bin/python3\nimport os, time\nopen('/order', 'a').write('62\\n')\n" +
			"os.system('init 6')\ntime.sleep(600)\n",
		"cloudinit/63_d.cfg": "#cloud-config\nruncmd:\n- echo 63.0 >>/order\n- systemd-run --on-active=2 systemctl " +
			"reboot; " +
			"sleep 600\n- echo 63.2 >>/order\n- shutdown -r +0\n",
		"cloudinit/64_e.cfg": "#cloud-config\nruncmd:\n- echo 64 >>/order\n",
	})
	id := l.bake(t, image, absolute(t, template), "source="+source, "name="+image)
	if got, want := l.cli(t, "cat", id, "/order"), "install\n60\n61\n62\n63.0\n63.2\n64"; got != want {
		t.Errorf("the steps ran as %q, want %q", got, want)
	}
}

// TestForeignReboots checks that a step fails the bake when a reboot that it has not asked for cuts it off.
func TestForeignReboots(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	// The reboot comes when the next step has begun, which says so.
	const (
		begun = "touch /run/begun"
		timer = "systemd-run sh -c 'until test -e /run/begun; do sleep 0.2; done; systemctl reboot'"
		why   = "which had not asked for it: let the step reboot"
	)
	for name, c := range map[string]failure{
		"in install.sh": {
			files: map[string]string{
				"cloudinit/10_timer.cfg": "#cloud-config\nruncmd:\n- " + timer + "\n",
				"script/install.sh": "#!/bin/sh\n# no reboot here\necho 'reboot it later'\nls " +
					"/var/run/reboot-required\n" + begun + "\n" +
					"sleep 600\necho done\n",
			},
			want: []string{"script/install.sh failed with exit status 143", why},
		},
		"in a runcmd item": {
			files: map[string]string{"cloudinit/60_app.cfg": "#cloud-config\nruncmd:\n- " + timer +
				"\n- " + begun + "; sleep 600; true\n" +
				"- echo SHOULD-NOT-RUN\n"},
			want: []string{"60_app.cfg runcmd[1] failed with exit status 143", why},
		},
		"in a part": {
			files: map[string]string{
				"cloudinit/60_a.cfg": "#!/bin/sh\n(until test -e /run/begun; do sleep 0.2; done; reboot) " +
					"</dev/null >/dev/null 2>&1 &\n",
				"cloudinit/61_b.cfg":              "#!/bin/sh\n" + begun + "\nsleep 600\n",
				"cloudinit/62_SHOULD-NOT-RUN.cfg": "#!/bin/sh\n",
			},
			want: []string{"61_b.cfg failed with exit status 143", why},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.bake(t, l)
		})
	}
	t.Run("in a provisioner", func(t *testing.T) {
		t.Parallel()
		image := testName(t)
		r := l.build(t, provisionerTemplate(t, `
  provisioner "shell" {
    inline = ["sudo `+timer+`"]
  }

  provisioner "shell" {
    inline = ["echo here", "sudo `+begun+`", "sleep 600", "echo SHOULD-NOT-RUN >&2"]
  }
`, nil), "name="+image)
		requireFailed(t, l, image, r.Code, r.Output, "provisioner 2 (shell", "failed with exit status 143", why)
	})
}
