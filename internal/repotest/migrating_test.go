// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// diffBlock matches a template of the migration guide, before and after.
var diffBlock = regexp.MustCompile("(?ms)^```diff\n(.*?)^```$")

func TestTheTemplatesOfTheMigrationGuideValidateAfterTheMove(t *testing.T) {
	dir := workspace(t)
	write(t, filepath.Join(dir, "site", "index.html"), "hello\n", 0o644)
	blocks := diffBlock.FindAllStringSubmatch(read(t, "docs/migrating.md"), -1)
	if len(blocks) < 2 {
		t.Fatalf("found %d templates in docs/migrating.md", len(blocks))
	}
	for i, block := range blocks {
		before, after := sides(block[1])
		name := fmt.Sprintf("moved%d.pkr.hcl", i)
		if strings.HasPrefix(after, "{") {
			name = fmt.Sprintf("moved%d.json", i)
		}
		write(t, filepath.Join(dir, name), after, 0o644)
		validate(t, dir, name)
		if !strings.Contains(before, "amazon-ebs") || strings.Contains(after, "amazon") {
			t.Errorf("%s does not move a template over:\n%s", name, block[1])
		}
	}
}

// sides returns the two files of a diff.
func sides(diff string) (before, after string) {
	var a, b strings.Builder
	for line := range strings.Lines(diff) {
		text := strings.TrimPrefix(line, line[:min(1, len(line)-1)])
		if line[0] != '+' {
			a.WriteString(text)
		}
		if line[0] != '-' {
			b.WriteString(text)
		}
	}

	return a.String(), b.String()
}

// right matches an action of IAM.
var right = regexp.MustCompile("`([a-z0-9]+:[A-Za-z]+)`")

func TestRightsThatTheMigrationGuideDropsAreInNoPolicy(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "docs/migrating.md"), "\n## Rights that can go\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rights := right.FindAllStringSubmatch(section, -1)
	if len(rights) == 0 {
		t.Fatal("docs/migrating.md names no right that can go")
	}
	for _, policy := range []string{"bake", "staging", "profile"} {
		for _, r := range rights {
			if slices.Contains(actions(t, policy), r[1]) {
				t.Errorf("docs/iam/%s.json allows %s", policy, r[1])
			}
		}
	}
}
