// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import "testing"

// TestProfile: the machine fetches a staged fs/ with the credentials of its instance profile.
func TestProfile(t *testing.T) {
	l := onLab(t)
	image := testName(t)
	source := write(t, map[string]string{"fs/opt/blob": incompressible(20000), "script/install.sh": "#!/bin/sh\nstat -c %s /opt/blob >/size\n"})
	id := l.bake(t, image, absolute(t, template), "name="+image, "source="+source, "delivery=profile", "profile=bakery")
	if got := l.cli(t, "cat", id, "/size"); got != "20000" {
		t.Errorf("/opt/blob has %s bytes", got)
	}
	if left := append(l.leftovers(t), l.orphans(t)...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
