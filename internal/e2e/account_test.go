// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// encryptDisks turns EBS encryption by default on in a region, with a key of the account's own if there is one.
func (q *quickLab) encryptDisks(t *testing.T, region, key string) {
	t.Helper()
	c := ec2.NewFromConfig(q.sdk(region))
	_, err := c.EnableEbsEncryptionByDefault(t.Context(), new(ec2.EnableEbsEncryptionByDefaultInput))
	if err == nil && key != "" {
		_, err = c.ModifyEbsDefaultKmsKeyId(t.Context(), &ec2.ModifyEbsDefaultKmsKeyIdInput{KmsKeyId: &key})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (q *quickLab) blockPublicImages(t *testing.T, region string) {
	t.Helper()
	_, err := ec2.NewFromConfig(q.sdk(region)).EnableImageBlockPublicAccess(t.Context(),
		&ec2.EnableImageBlockPublicAccessInput{
			ImageBlockPublicAccessState: types.ImageBlockPublicAccessEnabledStateBlockNewSharing})
	if err != nil {
		t.Fatal(err)
	}
}

// launched reports whether a machine was launched.
func (q *quickLab) launched() bool {
	for _, call := range q.Calls() {
		if call.Action == "RunInstances" {
			return true
		}
	}
	return false
}

// TestQuickAccountSettings checks that settings of the account which would refuse the image at its end are found before
// the launch, that those which do not are no obstacle, and that EC2 agrees: without the check, the bake fails.
func TestQuickAccountSettings(t *testing.T) {
	t.Parallel()
	shared := map[string]any{"ami_users": []string{"111111111111"}}
	public := map[string]any{"ami_groups": []string{"all"}, "snapshot_groups": []string{"all"}}
	for name, c := range map[string]struct {
		settings map[string]any
		set      func(*testing.T, *quickLab)
		want     string // in the error; "": the bake succeeds
	}{
		"nothing forbids sharing":       {shared, nil, ""},
		"nothing forbids making public": {public, nil, ""},
		"the disks are encrypted with the key of AWS": {shared,
			func(t *testing.T, q *quickLab) { q.encryptDisks(t, "us-east-1", "") }, "the key that AWS manages for EBS"},
		"the disks are encrypted with one's own": {shared,
			func(t *testing.T, q *quickLab) { q.encryptDisks(t, "us-east-1", "alias/of-ours") }, ""},
		"the disks of a copy are": {withRegions(shared, "eu-west-1"),
			func(t *testing.T, q *quickLab) { q.encryptDisks(t, "eu-west-1", "") }, "in eu-west-1"},
		"public images are blocked": {public,
			func(t *testing.T, q *quickLab) { q.blockPublicImages(t, "us-east-1") }, "block public access for AMIs"},
		"they are where a copy is": {withRegions(public, "eu-west-1"),
			func(t *testing.T, q *quickLab) { q.blockPublicImages(t, "eu-west-1") }, "refuses in eu-west-1"},
		"a German description":  {map[string]any{"ami_description": "aus Köln"}, nil, "the character 'ö'"},
		"a version with a dash": {map[string]any{"image_version": "1.0–rc"}, nil, "the character '–'"},
		"a description that gets too long": {map[string]any{"ami_description": "{{ .SourceAMI }}" +
			strings.Repeat("x", 240)}, nil, "it must have at most 255"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := startQuickLab(t)
			if c.set != nil {
				c.set(t, q)
			}
			artifact, printed, err := q.bakeOrRefuse(t, c.settings)
			if c.want == "" {
				if err != nil || artifact == nil {
					t.Errorf("%v\n%s", err, printed)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || q.launched() {
				t.Errorf("launched: %v, error %v\n%s", q.launched(), err, printed)
			}
		})
	}
}

func withRegions(settings map[string]any, regions ...string) map[string]any {
	settings = maps.Clone(settings)
	settings["ami_regions"] = regions
	return settings
}

// TestQuickAccountSettingsNeedNoRights checks that a bake without the rights to look at settings of the account goes on
// with one warning, and that what it did not see is an error at its end.
func TestQuickAccountSettingsNeedNoRights(t *testing.T) {
	t.Parallel()
	settings := withRegions(map[string]any{"ami_users": []string{"111111111111"}, "snapshot_groups": []string{"all"}},
		"eu-west-1")
	q := startQuickLab(t)
	without := rights{documents: []string{"bake", "image", "share", "staging"},
		withoutAll: []string{"ec2:GetEbsEncryptionByDefault", "ec2:GetSnapshotBlockPublicAccessState"}}
	artifact, printed, err := q.limited(t, without).bake(t, settings)
	if err != nil || artifact == nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	if strings.Count(printed, "warning: some settings of the account") != 1 || !strings.Contains(printed,
		"ec2:GetEbsEncryptionByDefault and ec2:GetSnapshotBlockPublicAccessState") {
		t.Errorf("the user is not warned once, of both:\n%s", printed)
	}
	q = startQuickLab(t)
	q.encryptDisks(t, "us-east-1", "")
	_, printed, err = q.limited(t, without).bake(t, map[string]any{"ami_users": []string{"111111111111"}})
	if err == nil || !strings.Contains(err.Error(), "AWS Managed CMK") || len(q.left(t)) > 0 {
		t.Errorf("left behind: %q, error %v\n%s", q.left(t), err, printed)
	}
}

// TestQuickAssumedRoles bakes as a role: AWS lends the session that staging needs, or the bake is refused before the
// launch.
func TestQuickAssumedRoles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		longest int32 // session of the role, in seconds
		timeout string
		more    map[string]any
		profile string // more lines of the profile
		asked   string // for a session of so many seconds
		want    []string
	}{
		"for an hour":       {3600, "30m", nil, "", "3600", nil},
		"for what it needs": {43200, "2h", nil, "", "8100", nil},
		"for longer than the role allows": {3600, "2h", nil, "", "8100", []string{
			"must last 7800s (instance_timeout of 7200s", "exceeds the MaxSessionDuration set for this role",
			"lower instance_timeout to at most 3000s", "duration_seconds"}},
		"without staging, a long bake": {3600, "2h", map[string]any{"staging": nil,
			"user_data": "#!/bin/sh\ntrue\n"}, "", "3600", nil},
		"as the profile says": {43200, "30m", nil, "duration_seconds = 2700\n", "2700", nil},
		"as the profile says, which is too short": {43200, "1h", nil, "duration_seconds = 2700\n", "2700",
			[]string{"must last 4200s", "the AWS credentials expire in 2", "duration_seconds"}},
	} {
		for _, how := range []string{"assume_role", "profile"} {
			if c.profile != "" && how == "assume_role" {
				continue
			}
			t.Run(name+" by "+how, func(t *testing.T) {
				t.Parallel()
				q := startBakerLab(t, labtest.Baker{})
				role := q.newRole(t, c.longest)
				settings := map[string]any{"verdict": "report", "instance_timeout": c.timeout}
				if how == "profile" {
					settings["profile"] = q.profileOf(t, role, c.profile)
				} else {
					settings["assume_role"] = map[string]any{"role_arn": role}
				}
				maps.Copy(settings, c.more)
				_, printed, err := q.bakeOrRefuse(t, settings)
				asked := q.sessions()
				if !slices.Contains(asked, c.asked) {
					t.Errorf("STS was asked for %q, want %s", asked, c.asked)
				}
				if c.want == nil {
					if err != nil {
						t.Errorf("%v\n%s", err, printed)
					}
					return
				}
				for _, want := range c.want {
					if err == nil || !strings.Contains(err.Error(), want) || q.launched() {
						t.Errorf("launched: %v, not told %q: %v\n%s", q.launched(), want, err, printed)
					}
				}
			})
		}
	}
}

// newRole makes a role that may do everything, and returns its ARN.
func (q *quickLab) newRole(t *testing.T, longest int32) string {
	t.Helper()
	c := iam.NewFromConfig(q.sdk("us-east-1"))
	out, err := c.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("ci"), MaxSessionDuration: &longest,
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[]}`)})
	if err == nil {
		_, err = c.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("ci"),
			PolicyName: aws.String("all"), PolicyDocument: aws.String(
				`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)})
	}
	if err != nil {
		t.Fatal(err)
	}
	return *out.Role.Arn
}

// profileOf writes a profile that assumes a role with the lab's key, and returns its name.
func (q *quickLab) profileOf(t *testing.T, role, more string) string {
	t.Helper()
	name := q.profile + "-role"
	writeProfile(t, name, fmt.Sprintf("[profile %[1]s]\nendpoint_url = %[2]s\nregion = us-east-1\nrole_arn = %[3]s\n"+
		"source_profile = %[4]s\nservices = %[1]s\n%[5]s[services %[1]s]\nsts =\n  endpoint_url = %[2]s\n", name, q.URL,
		role, q.profile, more))
	return name
}

// sessions returns how many seconds the sessions were to last that STS was asked for.
func (q *quickLab) sessions() (all []string) {
	for _, call := range q.Calls() {
		if call.Action == "AssumeRole" {
			all = append(all, call.Detail)
		}
	}
	return all
}
