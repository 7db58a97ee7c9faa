// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// examples are the arguments of packer validate for every template of example/, by the template's path. Each runs in a
// workspace.
var examples = map[string][]string{
	"hello/hello.pkr.hcl":       {"hello"},
	"web/web.pkr.hcl":           {"web"},
	"large/large.pkr.hcl":       {"large"},
	"two-stage/prepare.pkr.hcl": {"two-stage/prepare.pkr.hcl"},
	"two-stage/bake.pkr.hcl":    {"two-stage/bake.pkr.hcl"},
	"jenkins/prepare.pkr.hcl":   {"-var", "source=image", "-var", "target=out", "jenkins/prepare.pkr.hcl"},
	"jenkins/bake.pkr.hcl": {
		"-var", "bundle=out", "-var", "ami_name=hello-1", "-var", "image_version=1", "-var",
		"subnet_id=subnet-12345678",
		"-var", "source_ami=ami-086063d8c95bfa211", "-var", `security_group_ids=["sg-12345678"]`,
		"jenkins/bake.pkr.hcl",
	},
	"sweep/sweep.pkr.hcl": {"sweep"},
	"migrate/after.pkr.hcl": {"-var", "source_ami=ami-086063d8c95bfa211", "-var", "bucket=my-bucket",
		"migrate/after.pkr.hcl"},
}

// peerExamples are the templates that need another plugin; make test-peer bakes them.
var peerExamples = []string{"migrate/before.pkr.hcl"}

func TestEveryExampleIsCoveredByTheValidateTest(t *testing.T) {
	templates, err := fs.Glob(os.DirFS(filepath.Join(packertest.Root(), "example")), "*/*.pkr.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for _, template := range templates {
		if examples[template] == nil && !slices.Contains(peerExamples, template) {
			t.Errorf("example/%s is not validated: add it to examples", template)
		}
	}
	for template := range examples {
		if !slices.Contains(templates, template) {
			t.Errorf("example/%s does not exist", template)
		}
	}
}

func TestExamplesValidateWithoutCredentialsOrNetwork(t *testing.T) {
	dir := workspace(t)
	for template, arguments := range examples {
		t.Run(template, func(t *testing.T) {
			arguments := slices.Clone(arguments)
			last := &arguments[len(arguments)-1]
			*last = filepath.Join(packertest.Root(), "example", *last)
			validate(t, dir, arguments...)
		})
	}
}

func TestTheFirstOfTwoStagesNeedsNoCredentialsAndNoNetwork(t *testing.T) {
	dir := t.TempDir()
	packer(t, dir, "build", filepath.Join(packertest.Root(), "example", "two-stage", "prepare.pkr.hcl"))
	for _, name := range []string{"userdata.gz", "vars.env"} {
		if info, err := os.Stat(filepath.Join(dir, "out", name)); err != nil || info.Size() == 0 {
			t.Errorf("the first stage leaves no %s: %v", name, err)
		}
	}
	vars, err := os.ReadFile(filepath.Join(dir, "out", "vars.env"))
	if err != nil || !strings.Contains(string(vars), "PREPARED='yes'") {
		t.Errorf("vars.env lacks what compile.sh printed (%v):\n%s", err, vars)
	}
}

// workspace returns a folder with the files that templates in examples and documentation refer to: an Image-Source in
// image/, its bundle in out/, and userdata.sh, user data written by hand.
func workspace(t *testing.T) string {
	t.Helper()

	dir := t.TempDir()
	example := filepath.Join(packertest.Root(), "example")
	if err := os.CopyFS(filepath.Join(dir, "image"), os.DirFS(filepath.Join(example, "hello", "image"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "userdata.sh"), "#!/bin/sh\ntrue\n", 0o644)
	packer(t, dir, "build", "-var", "source=image", "-var", "target=out",
		filepath.Join(example, "jenkins", "prepare.pkr.hcl"))

	return dir
}

// packer runs packer and fails the test unless it succeeds.
func packer(t *testing.T, dir string, arguments ...string) {
	t.Helper()

	argv := append([]string{packertest.Built(t).Packer}, arguments...)
	if result := packertest.Run(t, dir, packertest.Env(t), argv...); result.Code != 0 {
		t.Fatalf("packer %s: exit code %d\n%s", strings.Join(arguments, " "), result.Code, result.Output)
	}
}

// validate runs packer validate and fails the test unless it succeeds in time and without a warning.
func validate(t *testing.T, dir string, arguments ...string) {
	t.Helper()

	for _, warning := range packertest.Validate(t, dir, packertest.Env(t), arguments...) {
		t.Errorf("packer validate %s: %s", strings.Join(arguments, " "), warning)
	}
}
