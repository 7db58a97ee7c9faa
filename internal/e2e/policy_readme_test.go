// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// policiesOfReadme returns the policies that README.md gives to people who bake, without and with staging.
func policiesOfReadme(t *testing.T) (plain, staged []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(packertest.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	policy := regexp.MustCompile(`\(docs/iam/([a-z-]+)\.json\)`)
	for line := range strings.Lines(string(text)) {
		who, needs, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !ok || !strings.HasPrefix(who, "people who bake") {
			continue
		}
		for _, name := range policy.FindAllStringSubmatch(needs, -1) {
			if staged = append(staged, name[1]); !strings.Contains(who, "staging") {
				plain = append(plain, name[1])
			}
		}
	}
	if len(plain) == 0 || len(staged) == len(plain) {
		t.Fatalf("README.md has no table of policies: %q, %q", plain, staged)
	}
	return plain, staged
}

// bakesOrWaits is a machine that bakes, or, without user data, runs until it is terminated.
func bakesOrWaits(m *labtest.Machine) {
	if status, _ := m.Metadata("/latest/user-data"); status == http.StatusOK {
		labtest.Baker{}.Guest(m)
	}
}

// TestPoliciesOfReadmeWarnAboutNothing bakes with Packer and exactly the policies that README.md gives, in an account
// in which a killed bake has left one of everything.
func TestPoliciesOfReadmeWarnAboutNothing(t *testing.T) {
	t.Parallel()
	plain, staged := policiesOfReadme(t)
	for name, c := range map[string]struct {
		policies []string
		vars     []string
	}{
		"without staging": {plain, nil},
		"with staging":    {staged, []string{"log_url=s3://bakery-lab/hello"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := startQuickLabWith(t, bakesOrWaits)
			q.plant(t, "us-east-1", someBake, longAgo)
			r := q.client().holding(t, c.policies...).build(t, example("hello/hello.pkr.hcl"), c.vars...)
			if r.Code != 0 || strings.Contains(r.Output, "warning:") || strings.Contains(r.Output, "not authorized") {
				t.Errorf("a bake with %q: exit status %d", c.policies, r.Code)
			}
			if !strings.Contains(r.Output, "Swept instance") {
				t.Error("the bake has not swept")
			}
		})
	}
}

// TestPoliciesUseKeysOnlyForDisksAndStaging checks kms.json with requests that the lab never makes, because it has no
// KMS that a user could call.
func TestPoliciesUseKeysOnlyForDisksAndStaging(t *testing.T) {
	t.Parallel()
	policy, err := iam.Parse([]byte(rights{documents: documents(t)}.policy(t)))
	if err != nil {
		t.Fatal(err)
	}
	own, other := cloud.KeyARN("us-east-1", ownKey), cloud.KeyARN("us-east-1", "87654321-12ab-34cd-56ef-1234567890ab")
	const viaEC2, viaS3, viaRDS = "ec2.us-east-1.amazonaws.com", "s3.us-east-1.amazonaws.com",
		"rds.us-east-1.amazonaws.com"
	for _, c := range []struct {
		action, key, via, grant string
		want                    bool
	}{
		{"kms:Decrypt", own, viaEC2, "", true},
		{"kms:Decrypt", own, viaS3, "", true},
		{"kms:Decrypt", own, "", "", false}, // by the user
		{"kms:Decrypt", own, viaRDS, "", false},
		{"kms:Decrypt", other, viaEC2, "", false},
		{"kms:GenerateDataKey", own, viaS3, "", true},
		{"kms:GenerateDataKey", own, viaEC2, "", false},
		{"kms:CreateGrant", own, viaEC2, "true", true},
		{"kms:CreateGrant", own, viaEC2, "false", false},
		{"kms:CreateGrant", own, viaEC2, "", false},
		{"kms:CreateGrant", own, "", "true", false},
		{"kms:ReEncryptFrom", other, viaEC2, "", false},
		{"kms:ScheduleKeyDeletion", own, viaEC2, "", false},
		{"kms:PutKeyPolicy", own, "", "", false},
	} {
		r := iam.Request{Action: c.action, Resource: c.key, Keys: map[string][]string{}}
		if c.via != "" {
			r.Keys["kms:ViaService"] = []string{c.via}
		}
		if c.grant != "" {
			r.Keys["kms:GrantIsForAWSResource"] = []string{c.grant}
		}
		if got := policy.Allows(r); got != c.want {
			t.Errorf("%s on %s via %q, grant %q: %v", c.action, c.key, c.via, c.grant, got)
		}
	}
}
