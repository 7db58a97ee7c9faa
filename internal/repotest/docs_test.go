// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// hclBlock matches a fenced block of HCL in Markdown.
var hclBlock = regexp.MustCompile("(?ms)^```hcl\n(.*?)^```$")

func TestEveryHCLBlockOfTheDocumentationValidates(t *testing.T) {
	dir := workspace(t)
	count := 0
	for _, page := range pages(t) {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(packertest.Root(), page)
		for _, at := range hclBlock.FindAllSubmatchIndex(content, -1) {
			count++
			line := 1 + strings.Count(string(content[:at[0]]), "\n")
			t.Run(fmt.Sprintf("%s:%d", name, line), func(t *testing.T) {
				template := filepath.Join(dir, fmt.Sprintf("block%d.pkr.hcl", count))
				write(t, template, complete(string(content[at[2]:at[3]])), 0o644)
				validate(t, dir, filepath.Base(template))
			})
		}
	}
	// If the format of the documentation changed, the pattern would find nothing, without an error.
	if count < 5 {
		t.Errorf("found %d blocks of HCL in README.md and docs/", count)
	}
}

func TestTheManualListsEverySectionOfTheCleanUp(t *testing.T) {
	want := slices.Sorted(slices.Values(guest.Sections))
	var got []string
	for _, match := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ").FindAllStringSubmatch(read(t,
		"docs/guest.md"), -1) {
		got = append(got, match[1])
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sections of docs/guest.md (-program +manual):\n%s", diff)
	}
}

func TestTheManualNamesEveryCommandOfTheLab(t *testing.T) {
	help := packertest.Run(t, t.TempDir(), packertest.Env(t), packertest.Built(t).Lab, "--help")
	manual := read(t, "docs/lab.md")
	commands := regexp.MustCompile(`(?m)^  (run|serve|image build|image import|[a-z]+)(?: |$)(?:.*)\n      `).
		FindAllStringSubmatch(help.Output, -1)
	if len(commands) < 10 {
		t.Fatalf("bakery-lab --help names %d commands:\n%s", len(commands), help.Output)
	}
	for _, command := range commands {
		if !strings.Contains(manual, command[1]) {
			t.Errorf("docs/lab.md does not name bakery-lab %s", command[1])
		}
	}
}

// pages returns the paths of README.md and of everything in docs/.
func pages(t *testing.T) []string {
	t.Helper()

	pages := []string{filepath.Join(packertest.Root(), "README.md")}
	for _, pattern := range []string{"docs/*.md*", "docs/*/*.md*"} {
		found, err := filepath.Glob(filepath.Join(packertest.Root(), pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}

	return pages
}

var (
	topLevel    = regexp.MustCompile(`(?m)^(packer|variable|locals|source|data|build) `)
	sourceBlock = regexp.MustCompile(`(?m)^source "([^"]+)" "([^"]+)"`)
)

// complete makes a template of a block. It puts settings alone into a source, and adds required settings and a build
// that uses the sources of the block.
func complete(block string) string {
	if !topLevel.MatchString(block) {
		block = "source \"bakery-userdata\" \"example\" {\n" + defaults(block) + block + "}\n"
	}
	if strings.Contains(block, "\nbuild {") {
		return block
	}
	var sources []string
	for _, match := range sourceBlock.FindAllStringSubmatch(block, -1) {
		sources = append(sources, fmt.Sprintf("%q", "source."+match[1]+"."+match[2]))
	}
	if len(sources) == 0 {
		block += "source \"null\" \"example\" {\n  communicator = \"none\"\n}\n"
		sources = []string{`"source.null.example"`}
	}

	return block + "build {\n  sources = [" + strings.Join(sources, ", ") + "]\n}\n"
}

// defaults returns the required settings that a block does not have.
func defaults(block string) string {
	var lines strings.Builder
	for _, setting := range []struct{ unless, line string }{
		{`(?m)^(image_source|bundle|user_data|user_data_file) `, `image_source = "image"`},
		{`(?m)^source_ami`, `source_ami = "ami-086063d8c95bfa211"`},
		{`(?m)^ami_name `, `ami_name = "example"`},
	} {
		if !regexp.MustCompile(setting.unless).MatchString(block) {
			lines.WriteString(setting.line + "\n")
		}
	}

	return lines.String()
}
