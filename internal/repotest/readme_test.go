// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

func TestTheReadmeContainsTheCurrentPolicy(t *testing.T) {
	if policy := read(t, "docs/iam/bake.json"); !strings.Contains(read(t, "README.md"), "```json\n"+policy+"```\n") {
		t.Error("the policy in README.md is not docs/iam/bake.json")
	}
}

// awsCall matches a method of the interfaces through which the builder calls EC2 and IAM.
var awsCall = regexp.MustCompile(`(\w+)\(context\.Context, \*(ec2|iam)\.`)

func TestPoliciesAllowExactlyTheCallsOfTheBuilder(t *testing.T) {
	for ports, policy := range map[string]struct {
		names []string
		also  []string // rights that the calls need in addition
		not   []string // calls that may be refused
	}{
		"ports.go": {[]string{"bake", "image"}, []string{"ec2:CreateTags", "ssm:GetParameter"},
			nil}, // tags are set by the calls that make things
		"ports_spot.go": {[]string{"spot"}, []string{"ec2:RunInstances"},
			nil}, // the request is one of the things that it makes
		"ports_sweep.go": {[]string{"sweep"}, []string{ // looking at what has expired, and removing it
			"ec2:CancelSpotInstanceRequests", "ec2:DeleteSecurityGroup", "ec2:DeleteSnapshot", "ec2:DeleteVolume",
			"ec2:DeregisterImage",
			"ec2:DescribeImages", "ec2:DescribeInstances", "ec2:DescribeSpotInstanceRequests", "ec2:TerminateInstances",
			"iam:DeleteInstanceProfile", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:RemoveRoleFromInstanceProfile",
			"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:ListBucket", "s3:ListBucketMultipartUploads",
		}, nil},
		"ports_iam.go": {
			[]string{"temporary-profile"}, []string{"iam:PassRole", "iam:TagInstanceProfile", "iam:TagRole"},
			[]string{"iam:GetInstanceProfile"},
		},
	} {
		want := policy.also
		for _, match := range awsCall.FindAllStringSubmatch(read(t, "builder/userdata/"+ports), -1) {
			if action := match[2] + ":" + match[1]; !slices.Contains(policy.not, action) {
				want = append(want, action)
			}
		}
		slices.Sort(want)
		var allowed []string
		for _, name := range policy.names {
			allowed = append(allowed, actions(t, name)...)
		}
		slices.Sort(allowed)
		if diff := cmp.Diff(want, slices.Compact(allowed)); diff != "" {
			t.Errorf("actions of %v (-the builder calls +the policy allows):\n%s", policy.names, diff)
		}
	}
}

func TestPoliciesAreReadable(t *testing.T) {
	for _, name := range []string{"staging", "profile"} {
		if len(actions(t, name)) == 0 {
			t.Errorf("docs/iam/%s.json allows nothing", name)
		}
	}
}

// actions returns the actions that a policy of docs/iam allows, sorted.
func actions(t *testing.T, name string) []string {
	t.Helper()

	var policy struct {
		Version   string `json:"Version"`
		Statement []struct {
			Effect string `json:"Effect"`
			Action any    `json:"Action"`
		} `json:"Statement"`
	}
	if err := json.Unmarshal([]byte(read(t, "docs/iam/"+name+".json")), &policy); err != nil {
		t.Fatalf("docs/iam/%s.json: %v", name, err)
	}
	var all []string
	for _, statement := range policy.Statement {
		switch action := statement.Action.(type) {
		case string:
			all = append(all, action)
		case []any:
			for _, one := range action {
				all = append(all, one.(string))
			}
		}
	}
	slices.Sort(all)

	return all
}

// markdownLink matches [text](target) with a relative target.
var markdownLink = regexp.MustCompile(`\]\(([^):# ]+)(?:#[^)]*)?\)`)

func TestTheTargetsOfLinksExist(t *testing.T) {
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

func TestReleaseNamesContainTheAPIVersion(t *testing.T) {
	described := packertest.Run(t, t.TempDir(), packertest.Env(t), packertest.Built(t).Plugin, "describe")
	var plugin struct {
		Version      string   `json:"version"`
		API          string   `json:"api_version"`
		Builders     []string `json:"builders"`
		DataSources  []string `json:"datasources"`
		Provisioners []string `json:"provisioners"`
		Protocol     string   `json:"protocol_version"`
	}
	if err := json.Unmarshal([]byte(described.Output), &plugin); err != nil {
		t.Fatalf("describe: %v\n%s", err, described.Output)
	}
	if strings.Join(plugin.Builders, " ") != "userdata" || strings.Join(plugin.DataSources, " ") != "image-source" ||
		strings.Join(plugin.Provisioners, " ") != "image-source" {
		t.Errorf("the plugin registers builders %q, data sources %q and provisioners %q", plugin.Builders,
			plugin.DataSources, plugin.Provisioners)
	}
	if strings.Count(read(t, ".goreleaser.yml"), "_"+plugin.API+"_") != 3 {
		t.Errorf(".goreleaser.yml does not name binary, archive and list of modules by API %s", plugin.API)
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
