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

// awsCall is a field of the structs through which the plugin reaches EC2 and IAM.
var awsCall = regexp.MustCompile(`^\t(\w+) +(ec2|iam)Call\[`)

// awsCalls returns the calls of a file of internal/awscall, such as "ec2:DescribeTags", by the policy that a comment of
// the file names for them; those of no such comment have the policy "".
func awsCalls(t *testing.T, file string) map[string][]string {
	t.Helper()
	policyOf := regexp.MustCompile(`docs/iam/(\w+)\.json has to allow`)
	calls := map[string][]string{}
	policy := ""
	for line := range strings.Lines(read(t, "internal/awscall/"+file)) {
		switch {
		case strings.HasPrefix(line, "\t// "):
			policy = ""
			if m := policyOf.FindStringSubmatch(line); m != nil {
				policy = m[1]
			}
		case awsCall.MatchString(line):
			m := awsCall.FindStringSubmatch(line)
			calls[policy] = append(calls[policy], m[2]+":"+m[1])
		}
	}

	return calls
}

// isSweep reports whether a call of Spot Instances is one that sweeps make too.
func isSweep(call string) bool {
	return call == "ec2:CancelSpotInstanceRequests" || call == "ec2:DescribeSpotInstanceRequests"
}

func TestPoliciesAllowExactlyTheCallsOfTheBuilder(t *testing.T) {
	ec2, iam := awsCalls(t, "ec2.go"), awsCalls(t, "iam.go")
	spot := slices.DeleteFunc(slices.Clone(ec2["spot"]), isSweep) // a sweep also cancels requests
	removals := []string{
		"ec2:CancelSpotInstanceRequests", "ec2:DeleteSecurityGroup", "ec2:DeleteSnapshot", "ec2:DeleteVolume",
		"ec2:DeregisterImage", "ec2:DescribeImages", "ec2:DescribeInstances", "ec2:DescribeSecurityGroups",
		"ec2:DescribeSnapshots", "ec2:DescribeSpotInstanceRequests",
		"ec2:TerminateInstances", "iam:DeleteInstanceProfile", "iam:DeleteRole", "iam:DeleteRolePolicy",
		"iam:GetInstanceProfile", "iam:ListRoleTags", "iam:ListRoles", "iam:RemoveRoleFromInstanceProfile",
		"s3:AbortMultipartUpload",
		"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:ListBucket", "s3:ListBucketMultipartUploads",
		"s3:ListBucketVersions",
	}
	for _, policy := range []struct {
		names []string
		calls []string
		also  []string // what the calls need beside the right to make them
		not   []string // what may be refused
	}{
		// calls that make things set tags, and each bake sweeps
		{
			[]string{"bake", "image", "share"}, slices.Concat(ec2[""], ec2["share"], ec2["sweep"]),
			[]string{
				"ec2:CreateTags", "ssm:GetParameter", "ec2:CancelSpotInstanceRequests",
				"ec2:DescribeSpotInstanceRequests",
			}, nil,
		},
		// which makes the request
		{[]string{"spot"}, spot, []string{"ec2:RunInstances"}, nil},
		{[]string{"sweep"}, ec2["sweep"], removals, nil},
		{
			[]string{"temporary-profile"}, iam[""],
			[]string{"iam:PassRole", "iam:TagInstanceProfile", "iam:TagRole"}, nil,
		},
	} {
		want := policy.also
		for _, action := range policy.calls {
			if !slices.Contains(policy.not, action) {
				want = append(want, action)
			}
		}
		if len(policy.calls) == 0 {
			t.Errorf("internal/awscall has no calls for %v", policy.names)
		}
		slices.Sort(want)
		want = slices.Compact(want)
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
	for _, name := range []string{"staging", "profile", "kms"} {
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
