// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"maps"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// scenario is a bake whose calls are broken. All scenarios together make every call of the builder.
type scenario struct {
	name             string
	settings         func(q *quickLab) map[string]any
	before           map[string]any // settings of a bake before it, whose image it starts from or replaces
	ownFaults        []string       // faults that make it fail, for the calls that only a failing bake makes
	guest            func(*labtest.Machine)
	images           []string // the regions that have the image at the end
	replaces         bool     // the image of the bake before
	fails            string   // what its error contains, when it fails by itself
	only             []string // the actions to break; none is all
	verdictOnConsole bool     // the verdict is on the console only
	verdictInLog     bool     // it is in the staged log only
	account          setup    // sets settings of the account; nil: as they are
	sweeps           bool     // it bakes nothing; what was there before must be removed
}

// setup changes a lab before a bake.
type setup func(*testing.T, *quickLab)

// one is the region of the image when the settings name no other.
var one = []string{"us-east-1"}

// scenarios lists all scenarios. large is a file of user data that is uploaded in several parts, source an Image-Source
// whose fs/ is staged.
func scenarios(large, source string) []scenario {
	staged := func(*quickLab) map[string]any { return map[string]any{"user_data": nil, "user_data_file": large} }
	return []scenario{
		{name: "plain", images: one},
		{name: "looked up", images: one, settings: func(q *quickLab) map[string]any {
			return map[string]any{
				"source_ami":           "resolve:ssm:/aws/service/debian/release/bookworm/latest/amd64",
				"subnet_id":            q.Value("BAKERY_LAB_SUBNET"),
				"security_group_ids":   []string{q.Value("BAKERY_LAB_SECURITY_GROUP")},
				"iam_instance_profile": q.Value("BAKERY_LAB_INSTANCE_PROFILE"),
			}
		}},
		{name: "spot", images: one, settings: func(*quickLab) map[string]any {
			return map[string]any{
				"spot_price": "auto", "spot_instance_types": []string{"m5.large", "t3.small"}, "spot_fallback": "spot",
				"temporary_iam_instance_profile_policy_document": map[string]any{
					"Version": "2012-10-17",
					"Statement": []any{map[string]any{"Effect": "Allow", "Action": []string{"s3:GetObject"},
						"Resource": []string{"*"}}},
				},
			}
		}},
		{name: "copied", images: quickRegions, settings: func(*quickLab) map[string]any { return everyCall() }},
		{name: "encrypted", images: quickRegions, settings: func(*quickLab) map[string]any {
			return map[string]any{"encrypt_boot": true, "ami_regions": []string{"eu-west-1", "us-west-2"}}
		}},
		{name: "public", images: one, settings: func(*quickLab) map[string]any {
			return map[string]any{"ami_groups": []string{"all"}, "snapshot_groups": []string{"all"}}
		}, only: []string{"GetImageBlockPublicAccessState", "GetSnapshotBlockPublicAccessState"}},
		{name: "encrypted by the account", images: quickRegions, account: encryptAllDisks,
			settings: func(*quickLab) map[string]any {
				return map[string]any{"ami_users": []string{"111111111111"},
					"ami_regions": []string{"eu-west-1", "us-west-2"}}
			}, only: []string{"GetEbsEncryptionByDefault", "GetEbsDefaultKmsKeyId"}},
		{name: "replaced", images: one, replaces: true, before: map[string]any{},
			settings: func(*quickLab) map[string]any {
				return map[string]any{
					"force_deregister": true, "force_delete_snapshot": true, "ami_users": []string{"111111111111"},
					"deprecate_at": time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339),
				}
			}},
		{
			name: "disks", images: one,
			before: map[string]any{
				"ami_name": "source", "launch_block_device_mappings": []any{map[string]any{"device_name": "/dev/xvdf",
					"volume_size": 1}},
			},
			settings: func(*quickLab) map[string]any {
				return map[string]any{"source_ami": nil,
					"source_ami_filter": map[string]any{"owners": []string{"self"},
						"filters": map[string]any{"name": "source"}}}
			},
		},
		{name: "no image", settings: func(*quickLab) map[string]any { return map[string]any{"skip_create_ami": true} }},
		{
			name: "failing machine", guest: (*labtest.Machine).Crash, fails: "did not power itself off",
			settings: func(*quickLab) map[string]any { return nil },
		},
		{
			name: "failing image", fails: "set deregistration_protection",
			settings:  func(*quickLab) map[string]any { return everyCall() },
			ownFaults: []string{"EnableImageDeregistrationProtection=TestSaysSo:after:nth=3"},
		},
		{
			name: "reporting", images: one, guest: labtest.Baker{Lines: 3}.Guest,
			settings: func(*quickLab) map[string]any {
				return map[string]any{"verdict": "report", "user_data": nil, "image_source": source}
			},
		},
		{
			verdictOnConsole: true, name: "failing step",
			guest: labtest.Baker{Steps: []string{"60_app.cfg runcmd[3]"}, Lines: 3, Fail: 1,
				Reason: "it is Friday"}.Guest, fails: "it is Friday",
			settings: func(*quickLab) map[string]any {
				return map[string]any{"verdict": "report", "user_data": "#!/bin/sh\ntrue\n", "staging": nil}
			},
		},
		{
			name: "muted", images: one, verdictInLog: true,
			guest: labtest.Baker{Lines: 3, Console: labtest.Mute("verdict")}.Guest, only: []string{"GetObject"},
			settings: func(*quickLab) map[string]any {
				return map[string]any{"verdict": "report", "user_data": nil, "image_source": source}
			},
		},
		{
			name: "versioned", images: one, account: keepVersions,
			guest: labtest.Baker{Lines: 3, StepDuration: 5e9}.Guest,
			only:  []string{"ListObjectVersions", "DeleteObjects"},
			settings: func(*quickLab) map[string]any {
				return map[string]any{"verdict": "report", "user_data": nil, "image_source": source}
			},
		},
		{name: "sweeping", sweeps: true},
		{name: "large", images: one, settings: staged,
			only: []string{"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}},
		{
			name: "failing upload", fails: "upload to s3://", settings: staged,
			ownFaults: []string{"UploadPart=TestSaysSo:nth=2:1000"},
			only:      []string{"AbortMultipartUpload"},
		},
	}
}

// encryptAllDisks makes the account encrypt all disks with a key of its own.
func encryptAllDisks(t *testing.T, q *quickLab) {
	t.Helper()
	for _, region := range quickRegions {
		q.encryptDisks(t, region, "alias/of-ours")
	}
}

// keepVersions makes the bucket keep all versions of its objects.
func keepVersions(t *testing.T, q *quickLab) {
	t.Helper()
	q.setVersioning(t, types.BucketVersioningStatusEnabled)
}

// bakes returns the settings of the scenario's bake on a lab.
func (s *scenario) bakes(q *quickLab) map[string]any {
	if s.sweeps {
		return q.sweeping("eu-west-1")
	}
	all := map[string]any{"sweep": false, "instance_timeout": "2m", "image_timeout": "2m",
		"instance_poll_interval": "1s", "image_poll_interval": "1s"}
	if s.settings != nil {
		maps.Copy(all, s.settings(q))
	}
	return q.settings(all)
}
