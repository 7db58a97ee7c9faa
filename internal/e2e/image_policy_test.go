// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// policy joins policies of the documentation, without one action.
func policy(t *testing.T, without string, names ...string) *iam.Policy {
	t.Helper()
	all := struct{ Statement []any }{Statement: []any{
		map[string]any{"Effect": "Allow", "Action": "ec2:DescribeVolumes", "Resource": "*"}, // for the test to look around
	}}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(packertest.Root(), "docs", "iam", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var one struct{ Statement []any }
		here := strings.NewReplacer(`"`+without+`"`, `"ec2:Nothing"`, "MY-BUCKET", labserver.Bucket, "MY-PREFIX", "quick", "MY-ACCOUNT", cloud.Account)
		if err := json.Unmarshal([]byte(here.Replace(string(text))), &one); err != nil {
			t.Fatal(err)
		}
		all.Statement = append(all.Statement, one.Statement...)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	p, err := iam.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestImagePolicy: docs/iam/image.json is what the image side needs, and each of its actions is needed.
func TestImagePolicy(t *testing.T) {
	onlyQuickLabs(t)
	t.Run("each", func(t *testing.T) {
		for _, without := range []string{
			"", "ec2:DescribeRegions", "ec2:CopyImage", "ec2:RegisterImage", "ec2:EnableImageDeprecation",
			"ec2:EnableImageDeregistrationProtection", "ec2:ModifyImageAttribute", "ec2:ModifyInstanceAttribute", "ec2:ModifySnapshotAttribute",
		} {
			t.Run("without "+without, func(t *testing.T) {
				t.Parallel()
				q := quickLabWith(t, policy(t, without, "bake", "staging", "image"))
				_, said, err := q.bake(t, everyCall())
				if without == "" {
					if err != nil {
						t.Fatalf("%v\n%s", err, said)
					}
					return
				}
				_, action, _ := strings.Cut(without, ":")
				if err == nil || !strings.Contains(err.Error(), action) || !strings.Contains(err.Error(), "UnauthorizedOperation") {
					t.Fatalf("the error should name %s: %v\n%s", action, err, said)
				}
				if left := q.left(t); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			})
		}
		t.Run("without the right to undo a protection", func(t *testing.T) {
			t.Parallel()
			const action = "DisableImageDeregistrationProtection"
			q := quickLabWith(t, policy(t, "ec2:"+action, "bake", "staging", "image"), "EnableImageDeregistrationProtection=TestSaysSo:after:nth=3")
			_, said, err := q.bake(t, everyCall())
			if err == nil || !strings.Contains(err.Error(), action) || !strings.Contains(said, "Not removed:") {
				t.Errorf("the error should name %s: %v\n%s", action, err, said)
			}
		})
	})
}
