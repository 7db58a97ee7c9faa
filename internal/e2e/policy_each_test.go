// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	gocmp "github.com/google/go-cmp/cmp"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// policyCase is a bake that needs a permission of a document.
type policyCase struct {
	name      string
	documents []string
	settings  map[string]any
	fault     string                                      // the bake fails with TestSaysSo
	fails     string                                      // how it fails without the right, where that does not name it
	before    func(*testing.T, *quickLab, map[string]any) // by somebody with all rights
	sweeps    bool                                        // and nothing else, in a lab where much has expired
}

// commonCase returns the bake that needs most permissions of a document.
func commonCase(document string) policyCase {
	s := policyCase{name: document, documents: []string{"bake"},
		settings: map[string]any{"user_data": "#!/bin/sh\ntrue\n", "staging": nil}}
	if document != "bake" {
		s.documents = append(s.documents, document)
	}
	switch document {
	case "staging":
		s.settings = map[string]any{}
	case "profile":
		s.settings["iam_instance_profile"] = "bakery"
	case "spot":
		s.settings = spotSettings()
	case "temporary-profile":
		s.settings["temporary_iam_instance_profile_policy_document"] = map[string]any{
			"Version": "2012-10-17",
			"Statement": []any{map[string]any{"Effect": "Allow", "Action": []string{"s3:GetObject"},
				"Resource": []string{"*"}}},
		}
	case "sweep":
		s.documents, s.settings, s.sweeps = []string{"sweep"}, nil, true
	case "kms":
		s.documents = append(s.documents, "image", "staging")
		s.settings = map[string]any{"encrypt_boot": true, "kms_key_id": ownKey, "staging": map[string]any{
			"url": "s3://" + labserver.Bucket + "/quick", "server_side_encryption": "aws:kms", "kms_key_id": ownKey,
		}}
	case "image", "share":
		s.documents = []string{"bake", "image", "share", "staging"}
		s.settings = everyCall()
	}
	return s
}

func spotSettings() map[string]any {
	return map[string]any{"user_data": "#!/bin/sh\ntrue\n", "staging": nil, "spot_price": "auto",
		"spot_instance_types": []string{"m5.large", "t3.small"}}
}

// caseWithout returns the bake that needs a permission.
func caseWithout(document, action string) policyCase {
	s := commonCase(document)
	if s.sweeps {
		return s
	}
	s.name += " with " + action
	switch action {
	case "ec2:DescribeSpotInstanceRequests":
		s.documents, s.settings = []string{"bake", "spot"}, spotSettings()
	case "ec2:CancelSpotInstanceRequests":
		s.documents, s.settings, s.before = []string{"bake", "spot"}, spotSettings(), useOwnGroup
	case "ec2:DescribeSecurityGroups", "ec2:TerminateInstances":
		s.before = useOwnGroup
	case "ec2:DescribeSubnets":
		s.before = func(_ *testing.T, q *quickLab, settings map[string]any) {
			settings["subnet_id"] = q.Value("BAKERY_LAB_SUBNET")
		}
	case "ssm:GetParameter":
		s.settings["source_ami"] = "resolve:ssm:/aws/service/debian/release/12/latest/amd64"
	case "ec2:DeregisterImage", "ec2:DeleteSnapshot", "ec2:DescribeSnapshots":
		s.fault = "CreateImage=TestSaysSo:after"
	case "ec2:DeleteVolume":
		s.before = bakeOneWhoseDiskStays
	case "ec2:DisableImageDeregistrationProtection":
		s.fault = "EnableImageDeregistrationProtection=TestSaysSo:after:nth=3"
	case "iam:ListRoleTags":
		s.before = plantExpiredRole
	case "iam:GetInstanceProfile":
		if !slices.Contains(s.documents, "profile") { // which looks for the template's, not for that of an expired role
			s.before = plantExpiredRole
		}
	case "s3:GetObject", "kms:Decrypt":
		s.before = func(t *testing.T, _ *quickLab, settings map[string]any) { bakeFS(t, settings, 20_000) }
		s.fails = "fetching fs.tgz failed"
	case "s3:ListBucketVersions", "s3:DeleteObjectVersion":
		s.before = func(t *testing.T, q *quickLab, _ map[string]any) {
			q.setVersioning(t, types.BucketVersioningStatusEnabled)
		}
	case "s3:ListBucket":
		s.before = func(t *testing.T, q *quickLab, _ map[string]any) {
			q.put(t, "quick/"+expiredFolder+"/fs.tgz")
		}
	case "ec2:GetEbsDefaultKmsKeyId":
		s.before = func(t *testing.T, q *quickLab, _ map[string]any) { encryptAllDisks(t, q) }
	case "ec2:GetImageBlockPublicAccessState", "ec2:GetSnapshotBlockPublicAccessState":
		s.settings = map[string]any{"ami_groups": []string{"all"}, "snapshot_groups": []string{"all"}}
	case "s3:AbortMultipartUpload":
		s.fault = "UploadPart=TestSaysSo"
		s.before = func(t *testing.T, _ *quickLab, settings map[string]any) { bakeFS(t, settings, 17<<20) }
	default:
		return commonCase(document)
	}
	return s
}

// expiredFolder is where a killed bake has staged files.
const expiredFolder = "bakery-20200102T030405Z-" + someBake

// useOwnGroup gives the bake a group, which does not wait for its machine to be gone.
func useOwnGroup(_ *testing.T, q *quickLab, settings map[string]any) {
	settings["security_group_ids"] = []string{q.Value("BAKERY_LAB_SECURITY_GROUP")}
}

// plantExpiredRole makes the role of a killed bake, which the sweep of the next one removes.
func plantExpiredRole(t *testing.T, q *quickLab, _ map[string]any) {
	t.Helper()
	q.plantRole(t, "bakery-20200102T030405Z-"+someBake,
		map[string]string{"bakery:bake-id": someBake, "bakery:expires": longAgo})
}

// bakeFS bakes a fs/ of a size in place of user data.
func bakeFS(t *testing.T, settings map[string]any, size int) {
	t.Helper()
	settings["user_data"] = nil
	settings["image_source"] = write(t, map[string]string{"fs/opt/large": incompressible(size)})
}

// bakeOneWhoseDiskStays bakes the source image of the bake. Its disk is not deleted with the machine.
func bakeOneWhoseDiskStays(t *testing.T, q *quickLab, settings map[string]any) {
	t.Helper()
	_, printed, err := q.bake(t, map[string]any{
		"ami_name": "source", "launch_block_device_mappings": []any{map[string]any{"device_name": "/dev/xvda",
			"volume_size": 8}},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	settings["source_ami"] = q.client().images(t, "source")[0]
}

// outcome is the outcome of a bake.
type outcome struct {
	err     error
	printed string
	left    []string // of what a bake removes
}

// names reports whether the bake has said that it lacks a right, or has failed in the way that lacking it causes.
func (o outcome) names(r right, s policyCase) bool {
	said := o.printed + fmt.Sprint(o.err)
	warned := s.sweeps || strings.Contains(said, " without the right to ") ||
		strings.Contains(said, "looked at: allow ")
	return strings.Contains(said, "perform: "+r.action) || s.fails != "" && strings.Contains(said, s.fails) ||
		warned && strings.Contains(said, r.action)
}

// run bakes it with rights.
func (s policyCase) run(t *testing.T, r rights) outcome {
	t.Helper()
	if s.sweeps {
		return sweep(t, r)
	}
	q := startBakerLab(t, labtest.Baker{})
	settings := maps.Clone(s.settings)
	maps.Copy(settings, reportVerdict)
	if s.before != nil {
		s.before(t, q, settings)
	}
	if s.fault != "" {
		q.addFault(t, s.fault)
	}
	var o outcome
	_, o.printed, o.err = q.limited(t, r).bake(t, settings)
	for _, what := range q.State() {
		finished := what.Name == "quick" && o.err == nil || what.Name == "source" || what.Kind == "snapshot" &&
			o.err == nil || what.Kind == "object" && strings.Contains(what.ID, expiredFolder)
		if !what.Gone() && !finished && !strings.HasPrefix(what.ID, "baker-") && what.Tags["bakery:source-ami"] == "" {
			o.left = append(o.left, what.String())
		}
	}
	return o
}

// sweep sweeps a lab in which much has expired.
func sweep(t *testing.T, r rights) outcome {
	t.Helper()
	q := sweptLab(t)
	q.setVersioning(t, types.BucketVersioningStatusEnabled)
	limited := q.limited(t, r)
	var o outcome
	_, o.printed, o.err = limited.bakeAs(t, limited.sweeping())
	o.left = slices.DeleteFunc(q.Left(), func(what string) bool {
		return strings.HasPrefix(what, "role baker-") || strings.Contains(what, "eu-west-1")
	})
	return o
}

// TestPolicies checks that the documents of docs/iam are enough for each bake, and that without any one action a bake
// fails, leaves something behind, or loses what the table of docs/iam says.
func TestPolicies(t *testing.T) {
	t.Parallel()
	all := everyRight(t, documents(t)...)
	var mu sync.Mutex
	var optional []string
	t.Run("each", func(t *testing.T) {
		enough := map[string]bool{}
		for _, r := range all {
			s := caseWithout(r.document, r.action)
			if !enough[s.name] {
				enough[s.name] = true
				t.Run("enough for "+s.name, func(t *testing.T) {
					t.Parallel()
					o := s.run(t, rights{documents: s.documents})
					if o.err != nil != (s.fault != "") || strings.Contains(fmt.Sprint(o.err), "not authorized") ||
						len(o.left) > 0 {
						t.Errorf("%v; left behind: %q\n%s", o.err, o.left, o.printed)
					}
				})
			}
			t.Run("without "+r.String(), func(t *testing.T) {
				t.Parallel()
				o := s.run(t, rights{documents: s.documents, without: r})
				named := o.names(r, s)
				t.Logf("error %v; left behind: %q\n%s", o.err, o.left, o.printed)
				switch {
				case o.err != nil && named, len(o.left) > 0 && (named || s.fault != ""):
				case o.err == nil && named && len(o.left) == 0:
					mu.Lock()
					defer mu.Unlock()
					optional = append(optional, r.document+" "+r.action)
				default:
					t.Error("the bake does not need it")
				}
			})
		}
	})
	slices.Sort(optional)
	if diff := gocmp.Diff(documentedAsOptional(t), slices.Compact(optional)); diff != "" && !t.Failed() {
		t.Errorf("what a bake can do without (-docs/iam/README.md +found):\n%s", diff)
	}
}

// documentedAsOptional reads the table of what a bake loses without a permission.
func documentedAsOptional(t *testing.T) []string {
	t.Helper()
	var all []string
	rows := regexp.MustCompile("(?m)^\\| `([a-z0-9]+:[A-Za-z]+)` of `([a-z-]+)\\.json` \\|")
	for _, row := range rows.FindAllStringSubmatch(readDocument(t, "README.md"), -1) {
		all = append(all, row[2]+" "+row[1])
	}
	slices.Sort(all)
	return all
}
