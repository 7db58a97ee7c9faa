// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// provisionerTemplate writes a template of provisioners and the files they use. It returns the template's path.
func provisionerTemplate(t *testing.T, provisioners string, files map[string]string) string {
	t.Helper()
	dir := write(t, files)
	template := filepath.Join(dir, "recorded.pkr.hcl")
	if err := os.WriteFile(template, []byte(fmt.Sprintf(`
variable "name" {}

variable "settings" {
  default = null
}

source "bakery-userdata" "test" {
  source_ami       = "resolve:ssm:/aws/service/debian/release/12/latest/amd64"
  ami_name         = var.name
  instance_timeout = "20m"
  ssh_username     = "debian"
  ssh_timeout      = "5m"

  staging {
    url = "s3://bakery-lab/recorder/${var.name}"
  }
}

build {
  sources = ["source.bakery-userdata.test"]

%s
}
`, provisioners)), 0o600); err != nil {
		t.Fatal(err)
	}
	return template
}

// TestRecorded bakes the provisioner blocks that most templates have, and checks what they did on the machine.
func TestRecorded(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	id := l.bake(t, image, provisionerTemplate(t, `
  provisioner "shell-local" {
    inline = ["echo made here >generated.txt"]
  }

  provisioner "shell" {
    inline           = [
      "pwd >where", "id -un >>where", "echo \"$GREETING from $PACKER_BUILDER_TYPE\" >>where", "umask >>where"
    ]
    environment_vars = ["GREETING=it's $HOME"]
  }

  provisioner "shell" {
    scripts          = ["scripts/one.sh", "scripts/two.sh"]
    execute_command  = "sudo sh -c '{{ .Vars }} {{ .Path }}'"
    env              = { WHO = "root" }
  }

  provisioner "shell" {
    inline           = ["echo $SECRET >secret"]
    environment_vars = ["SECRET=of the file"]
    use_env_var_file = true
    remote_folder    = "/var/tmp"
  }

  provisioner "file" {
    source      = "generated.txt"
    destination = "relative.txt"
    generated   = true
  }

  provisioner "file" {
    sources     = ["tool.sh", "conf/a.conf"]
    destination = "~/"
  }

  provisioner "file" {
    source      = "conf"
    destination = "/tmp"
  }

  provisioner "file" {
    content     = "some text\n"
    destination = "/tmp/conf/text"
  }

  provisioner "shell" {
    inline = ["mkdir ~/tree", "sudo cp -r /tmp/conf /opt/conf"]
  }

  provisioner "file" {
    source      = "conf/"
    destination = "/home/debian/tree"
  }
`, map[string]string{
		"scripts/one.sh": "#!/bin/sh\nid -un >/one; echo $WHO >>/one; pwd >>/one\n",
		"scripts/two.sh": "#!/bin/bash\n[[ -n $WHO ]] && id -un >/two\n",
		"tool.sh":        "#!/bin/sh\necho tool\n", "conf/a.conf": "a\n", "conf/sub dir/b.conf": "b\n",
	}), "name="+image)
	for path, want := range map[string]string{
		"/home/debian/where":               "/home/debian\ndebian\nit's $HOME from bakery-userdata\n0022",
		"/one":                             "root\nroot\n/home/debian",
		"/two":                             "root",
		"/home/debian/secret":              "of the file",
		"/home/debian/relative.txt":        "made here",
		"/home/debian/tool.sh":             "#!/bin/sh\necho tool",
		"/home/debian/a.conf":              "a",
		"/opt/conf/sub dir/b.conf":         "b",
		"/opt/conf/text":                   "some text",
		"/home/debian/tree/sub dir/b.conf": "b",
	} {
		if diff := cmp.Diff(want, l.cli(t, "cat", id, path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	home := l.cli(t, "ls", id, "/home/debian")
	for _, want := range []string{"-rwxr-xr-x", "tool.sh"} {
		if !strings.Contains(home, want) {
			t.Errorf("the home directory has no %s:\n%s", want, home)
		}
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
