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

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
)

func TestPrepareRefusesOfTheImage(t *testing.T) {
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
		"a tag of AWS' own":            {map[string]any{"tag": []any{map[string]any{"key": "aws:x", "value": "y"}}}, "tags: the key \"aws:x\""},
		"a snapshot tag without a key": {map[string]any{"snapshot_tags": map[string]any{"": "x"}}, "snapshot_tags: the key"},
		"a disk of an image without a name": {
			map[string]any{"ami_block_device_mappings": []any{map[string]any{"volume_size": 8}}}, "ami_block_device_mappings[0]: device_name",
		},
		"a key for a disk of an image": {
			map[string]any{"ami_block_device_mappings": []any{map[string]any{"device_name": "/dev/sdb", "encrypted": true, "kms_key_id": key}}},
			"kms_key_id is for launch_block_device_mappings",
		},
		"a key that is none":                   {map[string]any{"encrypt_boot": true, "kms_key_id": "my key"}, "is not a KMS key"},
		"a key of a region that is none":       {regions(map[string]any{"region_kms_key_ids": map[string]any{"eu-west-1": "alias", "us-west-2": ""}}), `region_kms_key_ids: eu-west-1: "alias"`},
		"a key and no encryption":              {map[string]any{"kms_key_id": key}, "encrypt_boot = true"},
		"a key and no encryption in a region":  {map[string]any{"ami_regions": []string{"a"}, "region_kms_key_ids": map[string]any{"a": key}}, "region_kms_key_ids encrypts nothing"},
		"a key for a region that has no image": {regions(map[string]any{"region_kms_key_ids": map[string]any{"eu-west-1": "", "us-west-2": "", "a": ""}}), "for a, which is not in ami_regions"},
		"a region without a key":               {regions(map[string]any{"region_kms_key_ids": map[string]any{"eu-west-1": ""}}), "ami_regions has us-west-2"},
		"sharing with the account's own key":   {regions(map[string]any{"ami_users": []string{"111111111111"}}), "ami_users shares what"},
		"sharing one with the account's own key": {
			regions(map[string]any{"snapshot_users": []string{"111111111111"}, "region_kms_key_ids": map[string]any{"eu-west-1": key, "us-west-2": ""}}),
			"snapshot_users shares what",
		},
		"sharing where there is no key": {
			map[string]any{
				"encrypt_boot": true, "kms_key_id": key, "region": "us-east-1", "ami_regions": []string{"us-east-1", "eu-west-1"},
				"ami_users": []string{"111111111111"},
			},
			"key for EBS in eu-west-1,",
		},
		"sharing where the build has no key": {
			map[string]any{
				"encrypt_boot": true, "region_kms_key_ids": map[string]any{"eu-west-1": key}, "region": "us-east-1", "ami_regions": []string{"eu-west-1"},
				"ami_users": []string{"111111111111"},
			},
			"key for EBS in us-east-1,",
		},
		"a disk that is to be more encrypted than its snapshot": {
			map[string]any{"ami_block_device_mappings": []any{map[string]any{"device_name": "/dev/sdb", "encrypted": true, "snapshot_id": "snap-1"}}},
			"encrypted does not go with snapshot_id",
		},
		"a copy in three days":                {map[string]any{"snapshot_copy_duration_minutes": 4320}, "at most 2880"},
		"an encrypted image for everybody":    {map[string]any{"encrypt_boot": true, "ami_groups": []string{"all"}}, "EC2 refuses"},
		"a copy in ten minutes":               {map[string]any{"snapshot_copy_duration_minutes": 10}, "multiple of 15"},
		"an image nowhere":                    {map[string]any{"skip_save_build_region": true}, "ami_regions must name"},
		"an image nowhere else":               {map[string]any{"skip_save_build_region": true, "region": "a", "ami_regions": []string{"a"}}, "ami_regions must name"},
		"output of an image that is not kept": {map[string]any{"skip_save_build_region": true, "ami_regions": []string{"a"}, "output_file": "x"}, "output_file tells of"},
		"an account that is none":             {map[string]any{"ami_users": []string{"me"}}, `ami_users: "me" must be an account id`},
		"an account for snapshots":            {map[string]any{"snapshot_users": []string{"1"}}, "snapshot_users"},
		"a group that is none":                {map[string]any{"ami_groups": []string{"friends"}}, `ami_groups: "friends"`},
		"a snapshot group that is none":       {map[string]any{"snapshot_groups": []string{"friends"}}, `snapshot_groups: "friends"`},
		"an organization that is none":        {map[string]any{"ami_org_arns": []string{"o-123"}}, "ami_org_arns"},
		"a unit that is none":                 {map[string]any{"ami_ou_arns": []string{"arn:aws:organizations::111111111111:organization/o-1"}}, "ami_ou_arns"},
		"a product for everybody":             {map[string]any{"ami_product_codes": []string{"x"}, "ami_groups": []string{"all"}}, "product code"},
		"an old metadata service":             {map[string]any{"imds_support": "v1.0"}, "imds_support"},
		"a boot mode that is none":            {map[string]any{"boot_mode": "bios"}, "legacy-bios"},
		"a TPM that is none":                  {map[string]any{"tpm_support": "v1.2"}, "tpm_support"},
		"a TPM and no UEFI":                   {map[string]any{"tpm_support": "v2.0", "boot_mode": "uefi-preferred"}, "UEFI only"},
		"networking of what is not hvm":       {map[string]any{"ena_support": true, "ami_virtualization_type": "paravirtual"}, "hvm"},
		"networking of a Spot Instance":       {map[string]any{"ena_support": true, "spot_price": "auto"}, "Spot Instances, which EC2 does not change"},
		"a time that is none":                 {map[string]any{"deprecate_at": "tomorrow"}, "2027-01-31T00:00:00Z"},
		"a time that is over":                 {map[string]any{"deprecate_at": "2020-01-01T00:00:00Z"}, "in the past"},
		"a time too far ahead":                {map[string]any{"deprecate_at": "2120-01-01T00:00:00Z"}, "more than 10 years"},
		"a time too far ahead for a public image": {
			map[string]any{"deprecate_at": time.Now().AddDate(3, 0, 0).Format(time.RFC3339), "ami_groups": []string{"all"}}, "more than 2 years",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := new(Builder).Prepare(with(c.settings))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q, got %v", c.want, err)
			}
		})
	}
}

func TestPrepareTakesOfTheImage(t *testing.T) {
	const unknown = "<unknown>"
	for name, settings := range map[string]map[string]any{
		"every form of a key": {
			"encrypt_boot": true, "kms_key_id": "mrk-1234abcd12ab34cd56ef1234567890ab", "ami_regions": []string{"a", "b", "c", "d", "e"},
			"region_kms_key_ids": map[string]any{
				"a": "alias/my-key_1", "b": "arn:aws:kms:eu-west-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab",
				"c": "arn:aws-us-gov:kms:us-gov-west-1:111111111111:alias/x", "d": "", "e": "arn:aws-cn:kms:cn-north-1:111111111111:key/mrk-1234",
			},
		},
		"sharing with a key for each region": {
			"encrypt_boot": true, "kms_key_id": "alias/a", "region_kms_key_ids": map[string]any{"eu-west-1": "alias/b"}, "region": "us-east-1",
			"ami_regions": []string{"eu-west-1"}, "ami_users": []string{"111111111111"},
		},
		"sharing what is not kept where it has no key": {
			"encrypt_boot": true, "region_kms_key_ids": map[string]any{"eu-west-1": "alias/b"}, "region": "us-east-1",
			"ami_regions": []string{"eu-west-1"}, "ami_users": []string{"111111111111"}, "skip_save_build_region": true,
		},
		"tags of many bytes":             {"tags": map[string]any{strings.Repeat("ä", 128): strings.Repeat("本", 256)}, "ami_description": strings.Repeat("ä", 255)},
		"an image that is not encrypted": {"encrypt_boot": false, "ami_groups": []string{"all"}, "snapshot_groups": []string{"all"}},
		"all that can be shared": {
			"ami_users": []string{"111111111111"}, "ami_org_arns": []string{"arn:aws:organizations::111111111111:organization/o-123example"},
			"ami_ou_arns": []string{"arn:aws:organizations::111111111111:ou/o-123example/ou-1234-5exampleouid"}, "ami_product_codes": []string{"x"},
		},
		"a boot mode and a TPM": {"boot_mode": "uefi", "tpm_support": "v2.0", "imds_support": "v2.0", "ami_virtualization_type": "hvm", "ena_support": false, "sriov_support": true},
		"what is not known yet": {
			"ami_regions": []string{unknown}, "encrypt_boot": true, "kms_key_id": unknown, "region_kms_key_ids": map[string]any{"a": unknown},
			"ami_users": []string{unknown}, "ami_groups": []string{unknown}, "ami_org_arns": []string{unknown}, "ami_ou_arns": []string{unknown},
			"imds_support": unknown, "boot_mode": unknown, "tpm_support": unknown, "ami_virtualization_type": unknown, "sriov_support": true,
			"snapshot_copy_duration_minutes": 0, "tag": []any{map[string]any{"key": unknown, "value": unknown}},
		},
		"a time that is not known yet": {"deprecate_at": unknown, "snapshot_users": []string{unknown}, "snapshot_groups": []string{unknown}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, warnings, err := new(Builder).Prepare(with(settings)); err != nil || len(warnings) > 0 {
				t.Errorf("error %v, warnings %q", err, warnings)
			}
		})
	}
}

// Both ways to write a tag mean the same, in HCL as in JSON.
func TestPrepareJoinsTagsAndTagBlocks(t *testing.T) {
	var b Builder
	if _, _, err := b.Prepare(with(map[string]any{
		"tags": map[string]any{"a": "1", "{{ .SourceAMI }}": "2"}, "tag": []any{map[string]any{"key": "b", "value": "{{ .SourceAMIName }}"}},
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
		cmp.Diff(ami.DeregistrationProtection{Enabled: true, WithCooldown: true}, c.DeregistrationProtection),
		cmp.Diff(config.TriTrue, c.EncryptBoot), cmp.Diff(config.TriFalse, c.ENASupport), cmp.Diff(int64(45), *c.SnapshotCopyDurationMinutes),
	} {
		if diff != "" {
			t.Error(diff)
		}
	}
}
