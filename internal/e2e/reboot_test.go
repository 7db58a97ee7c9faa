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
