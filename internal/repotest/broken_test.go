// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// broken are the files of an Image-Source with one mistake each, and the position that validate must print.
var broken = map[string]struct{ content, position string }{
	"cloudinit/10_twice.cfg": {"#cloud-config\npackages: [a]\npackages: [b]\n", "cloudinit/10_twice.cfg:3:1: "},
	"cloudinit/20_tab.cfg":   {"#cloud-config\nruncmd:\n\t- a\n", "cloudinit/20_tab.cfg:3:1: "},
	"cloudinit/30_power.cfg": {"#cloud-config\nhostname: a\npower_state:\n  mode: reboot\n",
		"cloudinit/30_power.cfg:3:1: "},
	"cloudinit/40_mode.cfg": {"#cloud-config\nwrite_files:\n  - path: /etc/a\n    permissions: 0644\n",
		"cloudinit/40_mode.cfg:4:18: "},
	"cloudinit/unordered.cfg": {"#cloud-config\n{}\n", "cloudinit/unordered.cfg: "},
	"fs/var/run/fs.tgz":       {"", "fs/var/run/fs.tgz: "},
	"script/install.sh":       {"#!/bin/sh\nif true; then\n", "script/install.sh:2:"},
	"ami.env":                 {"NAME=broken\nVERSION=$(date)\n", "ami.env:2:9: "},
}

func TestValidatePrintsEveryMistakeOfAnImageSourceWithItsPosition(t *testing.T) {
	for name, template := range map[string]string{
		"builder": `
source "bakery-userdata" "broken" {
  image_source = "${path.root}/image"
  source_ami   = "ami-086063d8c95bfa211"
  ami_name     = "broken"
}
build {
  sources = ["source.bakery-userdata.broken"]
}
`,
		"data source": `
data "bakery-image-source" "broken" {
  source = "${path.root}/image"
  target = "${path.root}/out"
}
source "null" "broken" {
  communicator = "none"
}
build {
  sources = ["source.null.broken"]
}
`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "broken.pkr.hcl"), template, 0o644)
			for file, mistake := range broken {
				write(t, filepath.Join(dir, "image", file), mistake.content, 0o755)
			}
			result := packertest.Run(t, dir, packertest.Env(t), packertest.Built(t).Packer, "validate",
				"broken.pkr.hcl")
			if result.Code == 0 {
				t.Error("validate finds nothing wrong")
			}
			for _, mistake := range broken {
				if !strings.Contains(result.Output, mistake.position) {
					t.Errorf("validate does not say %q", mistake.position)
				}
			}
			if t.Failed() {
				t.Log(result.Output)
			}
			if entries, _ := os.ReadDir(filepath.Join(dir, "out")); len(entries) > 0 {
				t.Errorf("validate leaves %v", entries)
			}
		})
	}
}

func TestAFailingCompileScriptFailsTheBuildWithItsExitCodeAndLastLines(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "image", "script", "compile.sh"), "#!/bin/sh\necho 'no such jar' >&2\nexit 7\n", 0o755)
	result := packertest.Run(t, dir, packertest.Env(t, "PACKER="+packertest.Built(t).Packer),
		filepath.Join(packertest.Root(), "example", "jenkins", "build-create-image-userdata.sh"), "image", "out")
	if result.Code != 4 || !strings.Contains(result.Output, "exit code 7") ||
		!strings.Contains(result.Output, "no such jar") {
		t.Errorf("exit code %d\n%s", result.Code, result.Output)
	}
	if strings.Contains(result.Output, "CRASH") {
		t.Error("packer crashed")
	}
}
