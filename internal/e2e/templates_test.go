// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// The forty templates of testdata/templates are written for amazon-ebs, as public templates are. Each has
//
//	template.json or *.pkr.hcl and what they refer to: as its owner has it, for amazon-ebs
//	lab.vars: what the owner passes with -var, in words of the lab
//	verify.sh: whether the image does what the template is for, in words of check.sh
//
// TestPeerTemplates validates the original with the real amazon-ebs. The tests here change the type of its source, its
// plugin's name and add the staging block, and nothing else.
const templatesDir = "testdata/templates"

// migratedTemplate is a copy of a template in a folder of its own.
type migratedTemplate struct {
	dir  string
	file string // for packer, in dir
	vars []string
}

func templateNames(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(templatesDir, "[0-9]*"))
	if err != nil || len(found) != 40 {
		t.Fatalf("there are %d templates: %v", len(found), err)
	}
	for i, dir := range found {
		found[i] = filepath.Base(dir)
	}
	return found
}

// original copies a template unchanged. The values are those of the lab, or placeholders.
func original(t *testing.T, name string, values map[string]string) migratedTemplate {
	t.Helper()
	c := migratedTemplate{dir: t.TempDir(), file: "."}
	if err := os.CopyFS(c.dir, os.DirFS(filepath.Join(templatesDir, name))); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "template.json")); err == nil {
		c.file = "template.json"
	}
	vars, err := os.ReadFile(filepath.Join(c.dir, "lab.vars"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(string(vars)), "\n") {
		c.vars = append(c.vars, "-var", os.Expand(line, func(word string) string {
			if values[word] == "" {
				t.Fatalf("%s/lab.vars: the lab has no %s", name, word)
			}
			return values[word]
		}))
	}
	return c
}

// placeholders are values for packer validate, which does not check whether they exist.
var placeholders = map[string]string{
	"BAKERY_LAB_AMI": "ami-0bace000000000012", "BAKERY_LAB_SUBNET": "subnet-0bace000000000001",
	"BAKERY_LAB_VPC":            "vpc-0bace000000000001",
	"BAKERY_LAB_SECURITY_GROUP": "sg-0bace000000000001", "BAKERY_LAB_BUCKET": "bakery-lab",
	"BAKERY_LAB_USER": "debian",
}

var (
	requiredAmazon = regexp.MustCompile(`(?s)amazon = \{[^}]*\}`)
	hclSource      = regexp.MustCompile(`(?m)^source "bakery-userdata" .*\{$`)
	jsonType       = regexp.MustCompile(`"type": "bakery-userdata",`)
)

// migrate copies a template and changes it as the migration guide says.
func migrate(t *testing.T, name string, values map[string]string) migratedTemplate {
	t.Helper()
	c := original(t, name, values)
	staging := "s3://" + values["BAKERY_LAB_BUCKET"] + "/templates"
	c.rewrite(t, func(text string) string {
		text = strings.ReplaceAll(text, "amazon-ebs", "bakery-userdata")
		text = requiredAmazon.ReplaceAllString(text,
			`bakery = { source = "github.com/amibakery/bakery", version = ">= 0.1.0" }`)
		text = hclSource.ReplaceAllString(text, "$0\n  staging {\n    url = \""+staging+"\"\n  }\n")
		return jsonType.ReplaceAllString(text, `$0 "staging": {"url": "`+staging+`"},`)
	})
	return c
}

// rewrite changes the text of a template.
func (c migratedTemplate) rewrite(t *testing.T, change func(string) string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.dir, "*.pkr.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	if c.file != "." {
		files = append(files, filepath.Join(c.dir, c.file))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(change(string(text))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// expectedWarnings matches the warnings that moved templates may have: each says what is done differently.
var expectedWarnings = regexp.MustCompile(
	`^(this builder connects to nothing|shutdown_behavior = "terminate" is taken for "stop"|` +
		`\S+:\d+: shell: as error-cleanup-provisioner, it fails)`)

// validate runs packer validate, which must succeed in time, and returns its warnings.
func (c migratedTemplate) validate(t *testing.T, env []string) []string {
	t.Helper()
	return packertest.Validate(t, c.dir, env, append(c.vars, c.file)...)
}

// TestTemplatesValidate validates the migrated templates without credentials and without a network, in the time limit.
func TestTemplatesValidate(t *testing.T) {
	t.Parallel()
	env := packertest.Env(t, "PACKER_PLUGIN_PATH="+withAnsible(t, bakeryPlugins(t)))
	for _, name := range templateNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			labSlots.acquire(t)
			for _, warning := range migrate(t, name, placeholders).validate(t, env) {
				if !expectedWarnings.MatchString(warning) {
					t.Errorf("unexpected: %s", warning)
				}
			}
		})
	}
}

// TestTemplatesBake bakes the migrated templates and checks their images.
func TestTemplatesBake(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	plugins := withAnsible(t, bakeryPlugins(t))
	t.Run("all", func(t *testing.T) {
		for _, name := range templateNames(t) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if output := l.bakeTemplate(t, migrate(t, name, l.values), plugins); strings.Contains(output,
					": warning: ") {
					t.Error("the bake warns of something")
				}
			})
		}
	})
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// bakeTemplate builds a template and has its verify.sh look into what came out. It returns what packer
// expectedWarnings.
func (l *lab) bakeTemplate(t *testing.T, c migratedTemplate, plugins string) string {
	t.Helper()
	env := append(l.environ(t), "PACKER_PLUGIN_PATH="+plugins)
	r := l.packerBuild(t, c.dir, env, append(slices.Clone(c.vars), c.file)...)
	if r.Code != 0 {
		t.Fatal("the bake failed")
	}
	images := artifacts(r.Output)
	if len(images) == 0 {
		t.Fatal("no image was made")
	}
	defer l.cli(t, append([]string{"deregister"}, slices.Collect(maps.Values(images))...)...)
	for name, image := range images {
		env = append(env, "IMAGE="+image, "IMAGE_"+name+"="+image)
	}
	env = append(env, "AWSCLI="+packertest.AWSCLI(t))
	check, err := filepath.Abs(filepath.Join(templatesDir, "check.sh"))
	if err != nil {
		t.Fatal(err)
	}
	if r := packertest.Run(t, c.dir, env, "/bin/sh", "-c", `. "$0" && . ./verify.sh`, check); r.Code != 0 {
		t.Errorf("verify.sh: exit status %d\n%s", r.Code, r.Output)
	}
	return r.Output
}

var (
	artifactOf = regexp.MustCompile(`(?m)^--> (?:\S*\.)?(\S+): .*\n`)
	homeImage  = regexp.MustCompile(`(?m)^us-east-1: (ami-[0-9a-f]+)$`)
)

// artifacts returns the images in the lab's home region by the names of their sources, from what packer prints at its
// end.
func artifacts(output string) map[string]string {
	_, output, _ = strings.Cut(output, "The artifacts of successful builds are:")
	images := map[string]string{}
	places := artifactOf.FindAllStringSubmatchIndex(output, -1)
	for i, at := range places {
		end := len(output)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		if image := homeImage.FindStringSubmatch(output[at[1]:end]); image != nil {
			images[strings.ReplaceAll(output[at[2]:at[3]], "-", "_")] = image[1]
		}
	}
	return images
}
