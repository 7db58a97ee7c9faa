// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAValidSourceHasNoProblems(t *testing.T) {
	if problems := Check(Options{Source: imageSource(t, hello()), Target: "out"}); len(problems) > 0 {
		t.Errorf("got %v", problems)
	}
}

func TestEveryWrongOptionIsReported(t *testing.T) {
	source := imageSource(t, hello())
	cases := map[string]struct {
		options Options
		want    string
	}{
		"no source": {Options{Target: "out"}, "name the Image-Source directory"},
		"a target inside the source": {Options{Source: source, Target: filepath.Join(source, "not/there")},
			"is inside the Image-Source"},
		"the source as target": {Options{Source: source, Target: source}, "is inside the Image-Source"},
		"a region with a blank": {Options{Source: source, Target: "out", Region: "eu west"},
			`the region "eu west" is not the name of an AWS region`},
		"an S3 URL of the web": {Options{Source: source, Target: "out", S3URL: "https://bucket/fs.tgz"},
			"is not of the form s3://bucket/path/to/fs.tgz"},
		"an S3 URL without an object": {Options{Source: source, Target: "out", S3URL: "s3://bucket/"},
			"is not of the form"},
		"a variable with a dash": {Options{Source: source, Target: "out", Env: map[string]string{"A-B": ""}},
			`the environment variable "A-B"`},
		"a variable with a NUL byte": {Options{Source: source, Target: "out", Env: map[string]string{"AB": "\x00"}},
			"the environment variable AB for compile.sh has a NUL byte"},
		"a source that is not there": {Options{Source: source + "s", Target: "out"}, "no such file or directory"},
		"a source that is no directory": {Options{Source: filepath.Join(source, "ami.env"), Target: "out"},
			"not a directory"},
		"a source without any directory": {Options{Source: filepath.Join(source, "fs"), Target: "out"},
			"not an Image-Source"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := Check(c.options).Err()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if _, err := Compile(t.Context(), c.options); err == nil {
				t.Error("it compiles")
			}
		})
	}
}

func TestATargetIsNeededOnlyToCompile(t *testing.T) {
	o := Options{Source: imageSource(t, hello())}
	if problems := Check(o); len(problems) > 0 {
		t.Errorf("got %v", problems)
	}
	if _, err := Compile(t.Context(), o); err == nil ||
		!strings.Contains(err.Error(), "name the target directory for the bundle") {
		t.Errorf("got %v", err)
	}
}

func TestAllProblemsAreReportedAtOnceWithTheirPlace(t *testing.T) {
	source := imageSource(t, with(hello(),
		"ami.env", "NAME=a\nVERSION=$(date)\n",
		"cloudinit/99_shutdown.yml", "#cloud-config\nruncmd: [poweroff]\n",
		"cloudinit/60_late.yml", "#cloud-config\npower_state: {mode: poweroff}\n",
		"fs/var/run/fs.tgz", "mine",
	))
	err := Check(Options{Source: source, Target: "out", Region: "?"}).Err()
	if err == nil {
		t.Fatal("nothing is reported")
	}
	for _, want := range []string{
		`the region "?"`, "ami.env:2:", "cloudinit/99_shutdown.yml: the name is taken by a part that is generated; " +
			"name it otherwise, such as 99_my_shutdown.yml",
		"cloudinit/60_late.yml:2:", "fs/var/run/fs.tgz",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
}

func TestAmiEnvMayNotSetReservedNames(t *testing.T) {
	source := imageSource(t, with(hello(), "ami.env", "BAKERY_FS_SIZE=1\n"))
	err := Check(Options{Source: source, Target: "out"}).Err()
	want := filepath.Join(source, "ami.env") + ": BAKERY_FS_SIZE: names that begin with BAKERY_ are for the " +
		"bundle's own lines in vars.env; name it otherwise"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestGeneratedPartsAreIgnored(t *testing.T) {
	files := hello()
	for _, g := range generatedParts {
		files[g.path()] = string(g.content())
	}
	with, without := imageSource(t, files), imageSource(t, hello())
	if problems := Check(Options{Source: with, Target: "out"}); len(problems) > 0 {
		t.Errorf("got %v", problems)
	}
	a, b := compile(t, Options{Source: with}), compile(t, Options{Source: without})
	if diff := cmp.Diff(a.Env, b.Env); diff != "" {
		t.Errorf("they make a difference:\n%s", diff)
	}
}

func TestATargetReachedThroughALinkIsInsideTheSource(t *testing.T) {
	source := imageSource(t, hello())
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(source, link))
	if err := Check(Options{Source: source, Target: filepath.Join(link, "out")}).Err(); err == nil {
		t.Error("the target is accepted")
	}
}
