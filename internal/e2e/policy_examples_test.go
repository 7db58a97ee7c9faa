// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

var (
	rightsLine = regexp.MustCompile(`(?m)^(?:# )?Rights: (.*)$`)
	rightsWord = regexp.MustCompile(`docs/iam/([a-z-]+)\.json(?:\))?(?: with ([a-z_]+))?`)
)

// rightsOf returns the documents that an example names for the variables that are set: "Rights: docs/iam/bake.json, and
// docs/iam/staging.json with log_url", in the template or the README.md beside it.
func rightsOf(t *testing.T, template string, vars ...string) []string {
	t.Helper()
	var line []string
	for _, file := range []string{example(template), filepath.Join(filepath.Dir(example(template)), "README.md")} {
		if text, err := os.ReadFile(file); err == nil && line == nil {
			line = rightsLine.FindStringSubmatch(string(text))
		}
	}
	if line == nil {
		t.Fatalf("example/%s does not say which rights it takes", template)
	}
	var all []string
	for _, word := range rightsWord.FindAllStringSubmatch(line[1], -1) {
		set := func(v string) bool { return strings.HasPrefix(v, word[2]+"=") }
		if (word[2] == "" || slices.ContainsFunc(vars, set)) && !slices.Contains(all, word[1]) {
			all = append(all, word[1])
		}
	}
	return all
}

// bakeExample bakes a template of example/ with the rights it names, and no others.
func (l *lab) bakeExample(t *testing.T, image, template string, vars ...string) string {
	t.Helper()
	return l.holding(t, rightsOf(t, template, vars...)...).bake(t, image, example(template), vars...)
}

// TestPoliciesOfExamples checks that each example bakes with the documents it names, and not without any of them. The
// tests of the examples bake with them on real machines.
func TestPoliciesOfExamples(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out")
	packer := packertest.Built(t).Packer
	if r := packertest.Run(t, t.TempDir(), packertest.Env(t), packer, "build", "-var", "out="+out,
		example("two-stage/prepare.pkr.hcl")); r.Code != 0 {
		t.Fatalf("preparing: exit status %d\n%s", r.Code, r.Output)
	}
	t.Run("each", func(t *testing.T) {
		for template, vars := range map[string][]string{
			"hello/hello.pkr.hcl":    {"log_url=s3://bakery-lab/hello"},
			"web/web.pkr.hcl":        nil,
			"large/large.pkr.hcl":    {"mebibytes=1"},
			"two-stage/bake.pkr.hcl": {"bundle=" + out, "staging_url=s3://bakery-lab/two-stage"},
			"jenkins/bake.pkr.hcl": {
				"bundle=" + out, "source_ami=AMI", `security_group_ids=["GROUP"]`, "subnet_id=SUBNET", "ami_name=app",
				"image_version=1",
				"iam_instance_profile=bakery", "staging_url=s3://bakery-lab/jenkins", "instance_poll_interval=1s",
				"image_poll_interval=1s",
			},
			"migrate/after.pkr.hcl": {"source_ami=AMI", "bucket=bakery-lab", "ssh_username=debian"},
			"sweep/sweep.pkr.hcl":   {"staging_url=s3://bakery-lab/sweep"},
		} {
			names := rightsOf(t, template, vars...)
			for _, without := range append([]string{""}, names...) {
				t.Run(template+" without "+without, func(t *testing.T) {
					t.Parallel()
					q := startBakerLab(t, labtest.Baker{})
					l := q.client()
					some := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == without })
					lab := strings.NewReplacer("AMI", q.Value("BAKERY_LAB_AMI"), "GROUP",
						q.Value("BAKERY_LAB_SECURITY_GROUP"), "SUBNET", q.Value("BAKERY_LAB_SUBNET"))
					own := slices.Clone(vars)
					for i, v := range own {
						own[i] = lab.Replace(v)
					}
					r := l.holding(t, some...).build(t, example(template), own...)
					misses := r.Code != 0 || strings.Contains(r.Output, "not authorized") ||
						strings.Contains(r.Output, "could not be uploaded")
					if misses != (without != "") {
						t.Errorf("exit status %d", r.Code)
					}
					if without == "" && strings.Contains(r.Output, "without the right to") {
						t.Error("the bake warns that it lacks rights")
					}
				})
			}
		}
	})
}
