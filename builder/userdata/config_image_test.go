// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

func TestPrepareRefusesImageSettings(t *testing.T) {
	const key = "1234abcd-12ab-34cd-56ef-1234567890ab"
	regions := func(more map[string]any) map[string]any {
		all := map[string]any{"encrypt_boot": true, "ami_regions": []string{"eu-west-1", "us-west-2"}}
		maps.Copy(all, more)
		return all
	}
	for name, c := range map[string]struct {
		settings map[string]any
		want     string
	}{
		"a tag with a key of AWS": {
			map[string]any{"tag": []any{map[string]any{"key": "aws:x", "value": "y"}}}, "tags: the key \"aws:x\"",
		},
		"build data that there is not": {
			map[string]any{"tags": map[string]any{"from": "{{ .SourceAmi }}"}, "ami_description": "{{ .Nothing }}"},
			`tags: "from": "{{ .SourceAmi }}" cannot be rendered: there is no {{ .SourceAmi }}; there are .Build`,
		},
		"more tags than EC2 takes": {
			map[string]any{"tags": manyTags(43)}, "the image would have 51 tags, with the bake's own",
		},
		"more tags of snapshots, and of the machine": {
			map[string]any{"tags": manyTags(41), "snapshot_tags": map[string]any{"a": ""}, "image_version": "1",
				"run_tags": map[string]any{"b": "", "x": ""}},
			"the image would have 52 tags",
		},
		"a version that is no value of a tag": {
			map[string]any{"image_version": strings.Repeat("1", 257)},
			"image_version has 257 characters; it must have at most 256",
		},
		"a snapshot tag without a key": {
			map[string]any{"snapshot_tags": map[string]any{"": "x"}}, "snapshot_tags: the key",
		},
		"a disk of an image without a name": {
			map[string]any{"ami_block_device_mappings": []any{map[string]any{"volume_size": 8}}},
			"ami_block_device_mappings[0]: device_name",
		},
		"a KMS key for a disk of an image": {
			map[string]any{"ami_block_device_mappings": []any{
				map[string]any{"device_name": "/dev/sdb", "encrypted": true, "kms_key_id": key},
			}},
			"kms_key_id is for launch_block_device_mappings",
		},
		"a malformed KMS key": {
			map[string]any{"encrypt_boot": true, "kms_key_id": "my key"}, "is not a KMS key",
		},
		"a malformed KMS key of a region": {
			regions(map[string]any{"region_kms_key_ids": map[string]any{"eu-west-1": "alias", "us-west-2": ""}}),
			`region_kms_key_ids: eu-west-1: "alias"`,
		},
		"a KMS key without encrypt_boot": {map[string]any{"kms_key_id": key}, "encrypt_boot = true"},
		"KMS keys of regions without encrypt_boot": {
			map[string]any{"ami_regions": []string{"a"}, "region_kms_key_ids": map[string]any{"a": key}},
			"region_kms_key_ids encrypts nothing",
		},
		"a KMS key for a region without an image": {
			regions(map[string]any{"region_kms_key_ids": map[string]any{"eu-west-1": "", "us-west-2": "", "a": ""}}),
			"for a, which is not in ami_regions",
		},
		"a region without a KMS key": {
			regions(map[string]any{"region_kms_key_ids": map[string]any{"eu-west-1": ""}}),
			"ami_regions has us-west-2",
		},
		"sharing an image encrypted with the account's key": {
			regions(map[string]any{"ami_users": []string{"111111111111"}}), "ami_users shares what",
		},
		"sharing an image encrypted with the account's key by its name": {
			map[string]any{"encrypt_boot": true, "kms_key_id": "alias/aws/ebs", "ami_users": []string{"111111111111"}},
			"ami_users shares what encrypt_boot encrypts with the account's key for EBS (no key is set, or alias/aws/",
		},
		"sharing in a region encrypted with the account's key by its ARN": {
			map[string]any{
				"encrypt_boot": true, "kms_key_id": key, "region": "us-east-1", "ami_regions": []string{"eu-west-1"},
				"region_kms_key_ids": map[string]any{
					"eu-west-1": "arn:aws:kms:eu-west-1:111111111111:alias/aws/ebs"},
				"ami_users": []string{"111111111111"},
			},
			"key for EBS in eu-west-1 (",
		},
		"sharing a snapshot encrypted with the account's key": {
			regions(map[string]any{
				"snapshot_users":     []string{"111111111111"},
				"region_kms_key_ids": map[string]any{"eu-west-1": key, "us-west-2": ""},
			}),
			"snapshot_users shares what",
		},
		"sharing in a region without a KMS key": {
			map[string]any{
				"encrypt_boot": true, "kms_key_id": key, "region": "us-east-1",
				"ami_regions": []string{"us-east-1", "eu-west-1"},
				"ami_users":   []string{"111111111111"},
			},
			"key for EBS in eu-west-1 (",
		},
		"sharing in the build's region without a KMS key": {
			map[string]any{
				"encrypt_boot": true, "region_kms_key_ids": map[string]any{"eu-west-1": key}, "region": "us-east-1",
				"ami_regions": []string{"eu-west-1"},
				"ami_users":   []string{"111111111111"},
			},
			"key for EBS in us-east-1 (",
		},
		"an encrypted disk of a snapshot": {
			map[string]any{"ami_block_device_mappings": []any{
				map[string]any{"device_name": "/dev/sdb", "encrypted": true, "snapshot_id": "snap-1"},
			}},
			"encrypted does not go with snapshot_id",
		},
		"a snapshot copy in three days": {
			map[string]any{"snapshot_copy_duration_minutes": 4320}, "at most 2880",
		},
		"an encrypted image for all": {
			map[string]any{"encrypt_boot": true, "ami_groups": []string{"all"}}, "EC2 refuses",
		},
		"a snapshot copy in ten minutes": {
			map[string]any{"snapshot_copy_duration_minutes": 10}, "multiple of 15",
		},
		"no region to save the image in": {
			map[string]any{"skip_save_build_region": true}, "ami_regions must name",
		},
		"no other region to save the image in": {
			map[string]any{"skip_save_build_region": true, "region": "a", "ami_regions": []string{"a"}},
			"ami_regions must name",
		},
		"output_file of an image that is not saved": {
			map[string]any{"skip_save_build_region": true, "ami_regions": []string{"a"}, "output_file": "x"},
			"output_file tells of",
		},
		"a malformed account id": {
			map[string]any{"ami_users": []string{"me"}}, `ami_users: "me" must be an account id`,
		},
		"a malformed account id for snapshots": {
			map[string]any{"snapshot_users": []string{"1"}}, "snapshot_users",
		},
		"an unknown group": {
			map[string]any{"ami_groups": []string{"friends"}}, `ami_groups: "friends"`,
		},
		"an unknown group for snapshots": {
			map[string]any{"snapshot_groups": []string{"friends"}}, `snapshot_groups: "friends"`,
		},
		"a malformed organization": {
			map[string]any{"ami_org_arns": []string{"o-123"}}, "ami_org_arns",
		},
		"a malformed organizational unit": {
			map[string]any{"ami_ou_arns": []string{"arn:aws:organizations::111111111111:organization/o-1"}},
			"ami_ou_arns",
		},
		"a product code for all": {
			map[string]any{"ami_product_codes": []string{"x"}, "ami_groups": []string{"all"}}, "product code",
		},
		"an unknown imds_support": {map[string]any{"imds_support": "v1.0"}, "imds_support"},
		"an unknown boot mode":    {map[string]any{"boot_mode": "bios"}, "legacy-bios"},
		"an unknown TPM":          {map[string]any{"tpm_support": "v1.2"}, "tpm_support"},
		"a TPM without UEFI": {
			map[string]any{"tpm_support": "v2.0", "boot_mode": "uefi-preferred"}, "UEFI only",
		},
		"ENA without hvm": {
			map[string]any{"ena_support": true, "ami_virtualization_type": "paravirtual"}, "hvm",
		},
		"ENA of a Spot Instance": {
			map[string]any{"ena_support": true, "spot_price": "auto"}, "Spot Instances, which EC2 does not change",
		},
		"a malformed deprecation time": {
			map[string]any{"deprecate_at": "tomorrow"}, "2027-01-31T00:00:00Z",
		},
		"a deprecation time in the past": {
			map[string]any{"deprecate_at": "2020-01-01T00:00:00Z"}, "in the past",
		},
		"a deprecation time after more than 10 years": {
			map[string]any{"deprecate_at": "2120-01-01T00:00:00Z"}, "more than 10 years",
		},
		"a deprecation time of a public image after more than 2 years": {
			map[string]any{
				"deprecate_at": time.Now().AddDate(3, 0, 0).Format(time.RFC3339), "ami_groups": []string{"all"},
			},
			"more than 2 years",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := new(Builder).Prepare(templateWith(c.settings))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q, got %v", c.want, err)
			}
		})
	}
}

// manyTags returns so many tags.
func manyTags(n int) map[string]any {
	tags := map[string]any{}
	for i := range n {
		tags[strings.Repeat("x", i+1)] = ""
	}
	return tags
}

func withTags(tags map[string]any, keys ...string) map[string]any {
	for _, key := range keys {
		tags[key] = ""
	}
	return tags
}

func TestPrepareAcceptsImageSettings(t *testing.T) {
	const unknown = "<unknown>"
	for name, settings := range map[string]map[string]any{
		"every form of a key": {
			"encrypt_boot": true, "kms_key_id": "mrk-1234abcd12ab34cd56ef1234567890ab",
			"ami_regions": []string{"a", "b", "c", "d", "e"},
			"region_kms_key_ids": map[string]any{
				"a": "alias/my-key_1",
				"b": "arn:aws:kms:eu-west-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab",
				"c": "arn:aws-us-gov:kms:us-gov-west-1:111111111111:alias/x", "d": "",
				"e": "arn:aws-cn:kms:cn-north-1:111111111111:key/mrk-1234",
			},
		},
		"sharing with a key for each region": {
			"encrypt_boot": true, "kms_key_id": "alias/a",
			"region_kms_key_ids": map[string]any{"eu-west-1": "alias/b"}, "region": "us-east-1",
			"ami_regions": []string{"eu-west-1"}, "ami_users": []string{"111111111111"},
		},
		"sharing without a key in the build's region that is not saved": {
			"encrypt_boot": true, "region_kms_key_ids": map[string]any{"eu-west-1": "alias/b"}, "region": "us-east-1",
			"ami_regions": []string{"eu-west-1"}, "ami_users": []string{"111111111111"}, "skip_save_build_region": true,
		},
		"as many tags as EC2 takes": {"tags": manyTags(42)},
		"tags that may be fewer": {
			"tags":            withTags(manyTags(39), "{{ .SourceAMI }}", "{{ .SourceAMIName }}", unknown, "Name"),
			"run_tags":        manyTags(42),
			"image_version":   unknown,
			"ami_description": "x",
		},
		"tags of the machine alone": {
			"tags": manyTags(42), "run_tags": map[string]any{"a": ""}, "skip_ami_run_tags": true,
		},
		"tags of the most characters": {
			"tags":            map[string]any{strings.Repeat("ä", 128): strings.Repeat("本", 256)},
			"ami_description": strings.Repeat("a", 255),
		},
		"an image that is not encrypted": {
			"encrypt_boot": false, "ami_groups": []string{"all"}, "snapshot_groups": []string{"all"},
		},
		"every way to share": {
			"ami_users": []string{"111111111111"}, "ami_product_codes": []string{"x"},
			"ami_org_arns": []string{"arn:aws:organizations::111111111111:organization/o-123example"},
			"ami_ou_arns":  []string{"arn:aws:organizations::111111111111:ou/o-123example/ou-1234-5exampleouid"},
		},
		"a boot mode and a TPM": {
			"boot_mode": "uefi", "tpm_support": "v2.0", "imds_support": "v2.0", "ami_virtualization_type": "hvm",
			"ena_support": false, "sriov_support": true,
		},
		"unknown values": {
			"ami_regions": []string{unknown}, "encrypt_boot": true, "kms_key_id": unknown,
			"region_kms_key_ids": map[string]any{"a": unknown},
			"ami_users":          []string{unknown}, "ami_groups": []string{unknown},
			"ami_org_arns": []string{unknown}, "ami_ou_arns": []string{unknown},
			"imds_support": unknown, "boot_mode": unknown, "tpm_support": unknown, "ami_virtualization_type": unknown,
			"sriov_support":                  true,
			"snapshot_copy_duration_minutes": 0, "tag": []any{map[string]any{"key": unknown, "value": unknown}},
		},
		"an unknown deprecation time": {
			"deprecate_at": unknown, "snapshot_users": []string{unknown}, "snapshot_groups": []string{unknown},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, warnings, err := new(Builder).Prepare(templateWith(settings)); err != nil || len(warnings) > 0 {
				t.Errorf("error %v, warnings %q", err, warnings)
			}
		})
	}
}

// A tag may be written in two ways, in HCL and in JSON.
func TestPrepareJoinsTagsAndTagBlocks(t *testing.T) {
	var b Builder
	if _, _, err := b.Prepare(templateWith(map[string]any{
		"tags":         map[string]any{"a": "1", "{{ .SourceAMI }}": "2"},
		"tag":          []any{map[string]any{"key": "b", "value": "{{ .SourceAMIName }}"}},
		"snapshot_tag": []any{map[string]any{"key": "c", "value": "3"}, map[string]any{"key": "d", "value": "4"}},
		"encrypt_boot": true, "ena_support": "false", "snapshot_copy_duration_minutes": 45,
		"deregistration_protection": map[string]any{"with_cooldown": true},
	})); err != nil {
		t.Fatal(err)
	}
	c := &b.config
	for _, diff := range []string{
		cmp.Diff(map[string]string{"a": "1", "{{ .SourceAMI }}": "2", "b": "{{ .SourceAMIName }}"}, c.Tags),
		cmp.Diff(map[string]string{"c": "3", "d": "4"}, c.SnapshotTags),
		cmp.Diff(deregistrationProtection{Enabled: true, WithCooldown: true}, c.DeregistrationProtection),
		cmp.Diff(config.TriTrue, c.EncryptBoot), cmp.Diff(config.TriFalse, c.ENASupport),
		cmp.Diff(int64(45), *c.SnapshotCopyDurationMinutes),
	} {
		if diff != "" {
			t.Error(diff)
		}
	}
}
