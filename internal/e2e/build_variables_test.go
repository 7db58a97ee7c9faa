// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// TestBuildVariablesAtValidate checks that packer validate refuses the build variables without a value where they are,
// in each form of a template, and no others.
func TestBuildVariablesAtValidate(t *testing.T) {
	t.Parallel()
	env := packertest.Env(t, "PACKER_PLUGIN_PATH="+bakeryPlugins(t))
	const hcl = `packer {
  required_plugins {
    bakery = { source = "github.com/amibakery/bakery", version = ">= 0.1.0" }
  }
}
source "bakery-userdata" "web" {
  source_ami = "ami-086063d8c95bfa211"
  ami_name   = "web"
  region     = "us-east-1"
}
source "null" "other" {
  communicator = "none"
}
build {
  sources = ["source.bakery-userdata.web", "source.null.other"]
  provisioner "%s" {
    inline = ["echo ${build.%s}"]
    only   = ["%s"]
  }
}
`
	const legacy = `{
  "builders": [{"type": "bakery-userdata", "name": "web", "source_ami": "ami-086063d8c95bfa211", "ami_name": "web",
    "region": "us-east-1"}],
  "provisioners": [{"type": "%s", "inline": ["echo {{ build ` + "`%s`" + ` }}"], "only": ["%s"]}]
}`
	for name, c := range map[string]struct {
		provisioner, variable, only string
		place                       string // in HCL; "" when it is accepted
	}{
		"a password": {"shell", "Password", "bakery-userdata.web", "t.pkr.hcl:17:23: build.Password has no value"},
		"a port":     {"shell", "Port", "bakery-userdata.web", "t.pkr.hcl:17:23: build.Port has no value"},
		"an id of this computer": {"shell-local", "ID", "bakery-userdata.web",
			"t.pkr.hcl:17:23: build.ID has no value: shell-local runs on this computer"},
		"an id":          {"shell", "ID", "bakery-userdata.web", ""},
		"a host":         {"shell", "Host", "bakery-userdata.web", ""},
		"another source": {"shell", "Password", "null.other", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			labSlots.acquire(t)
			dir := t.TempDir()
			texts := map[string]string{"t.pkr.hcl": fmt.Sprintf(hcl, c.provisioner, c.variable, c.only)}
			_, only, _ := strings.Cut(c.only, ".")
			if only == "web" {
				texts["t.json"] = fmt.Sprintf(legacy, c.provisioner, c.variable, only)
			}
			for file, text := range texts {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				argument := file
				if file == "t.pkr.hcl" {
					argument = "."
				}
				r := packertest.Run(t, dir, env, packertest.Built(t).Packer, "validate", argument)
				want := c.place
				if file == "t.json" && want != "" {
					want = "t.json:4:"
				}
				if (r.Code != 0) != (want != "") || !strings.Contains(r.Output, want) {
					t.Errorf("%s: exit status %d, want %q\n%s", file, r.Code, want, r.Output)
				}
			}
		})
	}
}

// TestBuildVariablesOnTheMachine checks that the machine puts its id and its address into what Packer has rendered.
func TestBuildVariablesOnTheMachine(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	id := l.bake(t, image, provisionerTemplate(t, `
  provisioner "shell" {
    environment_vars = ["ID=${build.ID}"]
    inline           = [
      "echo ${build.ID} ${build.Host} ${build.User} >~/facts",
      "test $ID = \"$(sudo cloud-init query instance_id)\"",
    ]
  }

  provisioner "file" {
    content     = "${build.ID}\n"
    destination = "~/${build.ID}"
  }

  provisioner "shell" {
    inline = ["cmp ~/${build.ID} - <<E\n${build.ID}\nE", "rm ~/i-*"]
  }
`, nil), "name="+image)
	got := l.cli(t, "cat", id, "/home/debian/facts")
	if !regexp.MustCompile(`^i-[0-9a-f]{17} [0-9]+\.[0-9]+\.[0-9]+\.[0-9]+ debian$`).MatchString(got) {
		t.Errorf("the script was told %q", got)
	}
}
