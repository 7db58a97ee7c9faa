// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// The lab enforces a policy by its actions, so a bake that succeeds needed no more than these, and one
// without an action says which one it misses.
func TestBakesNeedThePoliciesOfTheDocumentationAndNoMore(t *testing.T) {
	tests := map[string]struct {
		policies []string
		without  string // an action to take away
		example  string
		fails    bool
	}{
		"what fits into user data":            {[]string{"bake"}, "", "hello", false},
		"what is staged":                      {[]string{"bake", "staging"}, "", "large", false},
		"what is staged, without its policy":  {[]string{"bake"}, "s3:PutObject", "large", true},
		"without the right to run a machine":  {[]string{"bake"}, "ec2:RunInstances", "hello", true},
		"without the right to see a console":  {[]string{"bake"}, "ec2:GetConsoleOutput", "hello", true},
		"without the right to make an image":  {[]string{"bake"}, "ec2:CreateImage", "hello", true},
		"without the right to tag what it is": {[]string{"bake"}, "ec2:CreateTags", "hello", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			policy := filepath.Join(t.TempDir(), "policy.json")
			write(t, policy, merged(t, test.policies, test.without), 0o644)
			result := onLab(t, "--policy", policy, "--", packertest.Built(t).Packer, "build",
				filepath.Join(packertest.Root(), "example", test.example))
			if failed := result.Code != 0; failed != test.fails || !strings.Contains(result.Output, test.without) {
				t.Errorf("exit code %d, and the output should name %q:\n%s", result.Code, test.without, result.Output)
			}
		})
	}
}

// onLab runs `bakery-lab run` with arguments, as the person running the tests, whose cache has the
// base images.
func onLab(t *testing.T, arguments ...string) packertest.Result {
	t.Helper()

	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(cache, "bakery-lab")
	if home := os.Getenv("BAKERY_LAB_HOME"); home != "" {
		base = home
	}
	env := slices.DeleteFunc(packertest.Env(t, "BAKERY_LAB_HOME="+t.TempDir(), "BAKERY_LAB_BASE="+base),
		func(v string) bool { return strings.Contains(strings.ToLower(v), "_proxy=") })

	return packertest.Run(t, t.TempDir(), env, append([]string{packertest.Built(t).Lab, "run"}, arguments...)...)
}

// merged is one policy of the statements of several, without one action.
func merged(t *testing.T, names []string, without string) string {
	t.Helper()

	all := map[string]any{"Version": "2012-10-17"}
	var statements []any
	for _, name := range names {
		var policy struct {
			Statement []any `json:"Statement"`
		}
		text := strings.NewReplacer(`"`+without+`"`, `"ec2:Nothing"`, "MY-BUCKET", "bakery-lab", "MY-PREFIX", "large").
			Replace(read(t, "docs/iam/"+name+".json"))
		if err := json.Unmarshal([]byte(text), &policy); err != nil {
			t.Fatal(err)
		}
		statements = append(statements, policy.Statement...)
	}
	all["Statement"] = statements
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}
