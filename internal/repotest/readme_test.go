// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

func TestTheReadmeShowsThePolicyAsItIs(t *testing.T) {
	if policy := read(t, "docs/iam/bake.json"); !strings.Contains(read(t, "README.md"), "```json\n"+policy+"```\n") {
		t.Error("the policy in README.md is not docs/iam/bake.json")
	}
}

func TestPoliciesAreJSON(t *testing.T) {
	for _, name := range []string{"bake", "staging", "profile"} {
		var policy struct {
			Version   string
			Statement []struct{ Sid, Effect string }
		}
		if err := json.Unmarshal([]byte(read(t, "docs/iam/"+name+".json")), &policy); err != nil {
			t.Errorf("docs/iam/%s.json: %v", name, err)
		}
		if policy.Version != "2012-10-17" || len(policy.Statement) == 0 {
			t.Errorf("docs/iam/%s.json is no policy: %+v", name, policy)
		}
	}
}

// markdownLink is [text](target), without the links of other schemes.
var markdownLink = regexp.MustCompile(`\]\(([^):# ]+)(?:#[^)]*)?\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range markdownLink.FindAllStringSubmatch(string(content), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), match[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

func TestReleasesAreNamedByTheAPITheyImplement(t *testing.T) {
	described := packertest.Run(t, t.TempDir(), packertest.Env(t), packertest.Built(t).Plugin, "describe")
	var plugin struct {
		Version     string   `json:"version"`
		API         string   `json:"api_version"`
		Builders    []string `json:"builders"`
		DataSources []string `json:"datasources"`
		Protocol    string   `json:"protocol_version"`
	}
	if err := json.Unmarshal([]byte(described.Output), &plugin); err != nil {
		t.Fatalf("describe: %v\n%s", err, described.Output)
	}
	if strings.Join(plugin.Builders, " ") != "userdata" || strings.Join(plugin.DataSources, " ") != "image-source" {
		t.Errorf("the plugin registers builders %q and data sources %q", plugin.Builders, plugin.DataSources)
	}
	if strings.Count(read(t, ".goreleaser.yml"), "_"+plugin.API+"_") != 2 {
		t.Errorf(".goreleaser.yml does not name binary and archive by API %s", plugin.API)
	}
	if plugin.Protocol != "v2" {
		t.Errorf("the plugin speaks protocol %q", plugin.Protocol)
	}
}

// read returns a file of this repository.
func read(t *testing.T, name string) string {
	t.Helper()

	content, err := os.ReadFile(filepath.Join(packertest.Root(), name))
	if err != nil {
		t.Fatal(err)
	}

	return string(content)
}
