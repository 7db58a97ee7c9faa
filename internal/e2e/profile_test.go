// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"strings"
	"testing"
)

// TestProfile checks that the machine downloads a staged fs/ with the credentials of its instance profile.
func TestProfile(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	source := write(t, map[string]string{"fs/opt/blob": incompressible(20000),
		"script/install.sh": "#!/bin/sh\nstat -c %s /opt/blob >/size\n"})
	id := l.bake(t, image, absolute(t, template), "name="+image, "source="+source, "delivery=profile", "profile=bakery")
	if got := l.cli(t, "cat", id, "/size"); got != "20000" {
		t.Errorf("/opt/blob has %s bytes", got)
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestProfileOfProvisioners checks the same for recorded provisioners without an fs/.
func TestProfileOfProvisioners(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	template := provisionerTemplate(t, `
  provisioner "file" {
    source      = "blob"
    destination = "blob"
  }

  provisioner "shell" {
    inline = ["stat -c %s blob >size"]
  }
`, map[string]string{"blob": incompressible(20000)})
	text, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	profile := strings.Replace(string(text), "  staging {",
		"  iam_instance_profile = \"bakery\"\n\n  staging {\n    delivery = \"profile\"", 1)
	if err := os.WriteFile(template, []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	id := l.bake(t, image, template, "name="+image)
	if got := l.cli(t, "cat", id, "/home/debian/size"); got != "20000" {
		t.Errorf("the file has %s bytes", got)
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
