// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// allSettings is the settings of this package as a template has them.
type allSettings struct {
	Region           string `mapstructure:"region"`
	SourceConfig     `mapstructure:",squash"`
	ImageConfig      `mapstructure:",squash"`
	CopyConfig       `mapstructure:",squash"`
	SharingConfig    `mapstructure:",squash"`
	AttributesConfig `mapstructure:",squash"`
}

// check decodes and checks settings, to which it adds the required ones.
func check(t *testing.T, settings map[string]any) (*allSettings, []error) {
	t.Helper()
	all := map[string]any{"ami_name": "hello-1", "source_ami": "ami-0123456789abcdef0"}
	maps.Copy(all, settings)
	ctx := interpolate.Context{Funcs: TemplateFuncs}
	c := new(allSettings)
	if err := config.Decode(c, &config.DecodeOpts{
		Interpolate: true, InterpolateContext: &ctx, DecodeHooks: setting.DecodeHooks,
		InterpolateFilter: &interpolate.RenderFilter{Exclude: []string{"tags", "ami_description"}},
	}, all); err != nil {
		t.Fatal(err)
	}
	var errs []error
	for _, check := range []func() ([]string, []error){
		c.SourceConfig.Check,
		func() ([]string, []error) { return c.ImageConfig.Check(false, &ctx) },
		func() ([]string, []error) { return c.CopyConfig.Check(c.Region, &c.SharingConfig) },
		c.SharingConfig.Check,
		func() ([]string, []error) { return c.AttributesConfig.Check(time.Now(), c.MakesPublic()) },
	} {
		warnings, problems := check()
		if len(warnings) > 0 {
			t.Errorf("warnings: %q", warnings)
		}
		errs = append(errs, problems...)
	}
	return c, errs
}

// settings joins two maps of settings.
func settings(base, more map[string]any) map[string]any {
	all := maps.Clone(base)
	maps.Copy(all, more)
	return all
}

// disk is the settings of one disk of the image.
func disk(of map[string]any) map[string]any {
	return map[string]any{"ami_block_device_mappings": []any{of}}
}

const (
	testKey     = "1234abcd-12ab-34cd-56ef-1234567890ab"
	testAccount = "111111111111"
)

func TestCheckRefuses(t *testing.T) {
	type s = map[string]any
	encrypted := s{"encrypt_boot": true, "ami_regions": []string{"eu-west-1", "us-west-2"}}
	for name, c := range map[string]struct {
		settings s
		want     string
	}{
		"no name":            {s{"ami_name": ""}, "ami_name is needed"},
		"a short name":       {s{"ami_name": "ab"}, "3 to 128"},
		"a long name":        {s{"ami_name": strings.Repeat("a", 129)}, "3 to 128"},
		"a name EC2 refuses": {s{"ami_name": "a:b:c"}, "clean_resource_name"},
		"no source":          {s{"source_ami": ""}, "source_ami_filter is needed"},
		"two sources": {
			s{"source_ami": "debian-12-*", "source_ami_filter": s{"owners": []string{"self"}}}, "must be an id",
		},
		"a filter without owners": {
			s{"source_ami": "", "source_ami_filter": s{"filters": s{"name": "x"}}}, "owners",
		},
		"a filter without a name": {
			s{"source_ami": "", "source_ami_filter": s{"owners": []string{"self"}, "filters": s{"": "x"}}},
			"source_ami_filter: filters",
		},
		"an invalid id":                {s{"source_ami": "ami-xyz"}, "not an image id"},
		"a parameter without a name":   {s{"source_ami": "resolve:ssm:"}, "SSM parameter"},
		"little time":                  {s{"image_timeout": "1m"}, "at least 120s"},
		"polling rarely":               {s{"image_poll_interval": "2m"}, "at most 60s"},
		"polling all the time":         {s{"image_poll_interval": "10ms"}, "at least 1s"},
		"reuse of no image":            {s{"reuse_unchanged": true, "skip_create_ami": true}, "reuse_unchanged"},
		"a tag of AWS":                 {s{"tag": []any{s{"key": "aws:x", "value": "y"}}}, `tags: the key "aws:x"`},
		"a tag of the plugin":          {s{"tags": s{"bakery:x": "y"}}, `tags: the key "bakery:x"`},
		"a long tag":                   {s{"tags": s{"x": strings.Repeat("y", 257)}}, "256"},
		"a snapshot tag without a key": {s{"snapshot_tags": s{"": "x"}}, "snapshot_tags: the key"},

		"a disk without a name": {disk(s{"volume_size": 8}), "ami_block_device_mappings[0]: device_name"},
		"a key for a disk": {
			disk(s{"device_name": "/dev/sdb", "encrypted": true, "kms_key_id": testKey}),
			"kms_key_id is for launch_block_device_mappings",
		},
		"encryption of a snapshot": {
			disk(s{"device_name": "/dev/sdb", "encrypted": true, "snapshot_id": "snap-1"}),
			"encrypted does not go with snapshot_id",
		},

		"an invalid key": {s{"encrypt_boot": true, "kms_key_id": "my key"}, "is not a KMS key"},
		"an invalid key of a region": {
			settings(encrypted, s{"region_kms_key_ids": s{"eu-west-1": "alias", "us-west-2": ""}}),
			`region_kms_key_ids: eu-west-1: "alias"`,
		},
		"a key without encryption": {s{"kms_key_id": testKey}, "encrypt_boot = true"},
		"a key of a region without encryption": {
			s{"ami_regions": []string{"a"}, "region_kms_key_ids": s{"a": testKey}},
			"region_kms_key_ids encrypts nothing",
		},
		"a key for a region without an image": {
			settings(encrypted, s{"region_kms_key_ids": s{"eu-west-1": "", "us-west-2": "", "a": ""}}),
			"for a, which is not in ami_regions",
		},
		"a region without a key": {
			settings(encrypted, s{"region_kms_key_ids": s{"eu-west-1": ""}}), "ami_regions has us-west-2",
		},
		"sharing with the account's key": {
			settings(encrypted, s{"ami_users": []string{testAccount}}), "ami_users shares what",
		},
		"sharing one region with the account's key": {
			settings(encrypted, s{
				"snapshot_users": []string{testAccount}, "region_kms_key_ids": s{"eu-west-1": testKey, "us-west-2": ""},
			}),
			"snapshot_users shares what",
		},
		"sharing where a copy has no key": {
			s{
				"encrypt_boot": true, "kms_key_id": testKey, "region": "us-east-1",
				"ami_regions": []string{"us-east-1", "eu-west-1"}, "ami_users": []string{testAccount},
			},
			"key for EBS in eu-west-1 (",
		},
		"sharing where the build's region has no key": {
			s{
				"encrypt_boot": true, "region_kms_key_ids": s{"eu-west-1": testKey}, "region": "us-east-1",
				"ami_regions": []string{"eu-west-1"}, "ami_users": []string{testAccount},
			},
			"key for EBS in us-east-1 (",
		},
		"an encrypted image for everybody": {s{"encrypt_boot": true, "ami_groups": []string{"all"}}, "EC2 refuses"},
		"a copy in three days":             {s{"snapshot_copy_duration_minutes": 4320}, "at most 2880"},
		"a copy in ten minutes":            {s{"snapshot_copy_duration_minutes": 10}, "multiple of 15"},
		"an image nowhere":                 {s{"skip_save_build_region": true}, "ami_regions must name"},
		"an image in no other region": {
			s{"skip_save_build_region": true, "region": "a", "ami_regions": []string{"a"}}, "ami_regions must name",
		},

		"an invalid account":               {s{"ami_users": []string{"me"}}, `ami_users: "me" must be an account id`},
		"an invalid account for snapshots": {s{"snapshot_users": []string{"1"}}, "snapshot_users"},
		"an invalid group":                 {s{"ami_groups": []string{"friends"}}, `ami_groups: "friends"`},
		"an invalid group for snapshots":   {s{"snapshot_groups": []string{"friends"}}, `snapshot_groups: "friends"`},
		"an invalid organization":          {s{"ami_org_arns": []string{"o-123"}}, "ami_org_arns"},
		"an invalid unit": {
			s{"ami_ou_arns": []string{"arn:aws:organizations::111111111111:organization/o-1"}}, "ami_ou_arns",
		},
		"a product for everybody": {
			s{"ami_product_codes": []string{"x"}, "ami_groups": []string{"all"}}, "product code",
		},

		"an old metadata service":      {s{"imds_support": "v1.0"}, "imds_support"},
		"an invalid boot mode":         {s{"boot_mode": "bios"}, "legacy-bios"},
		"an invalid TPM":               {s{"tpm_support": "v1.2"}, "tpm_support"},
		"a TPM without UEFI":           {s{"tpm_support": "v2.0", "boot_mode": "uefi-preferred"}, "UEFI only"},
		"networking of what is no hvm": {s{"ena_support": true, "ami_virtualization_type": "paravirtual"}, "hvm"},
		"an invalid time":              {s{"deprecate_at": "tomorrow"}, "2027-01-31T00:00:00Z"},
		"a time in the past":           {s{"deprecate_at": "2020-01-01T00:00:00Z"}, "in the past"},
		"a time too far ahead":         {s{"deprecate_at": "2120-01-01T00:00:00Z"}, "more than 10 years"},
		"a time too far ahead for a public image": {
			s{"deprecate_at": time.Now().AddDate(3, 0, 0).Format(time.RFC3339), "ami_groups": []string{"all"}},
			"more than 2 years",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := check(t, c.settings)
			if !slices.ContainsFunc(errs, func(err error) bool { return strings.Contains(err.Error(), c.want) }) {
				t.Errorf("want %q, got %v", c.want, errs)
			}
		})
	}
}

func TestCheckAccepts(t *testing.T) {
	type s = map[string]any
	const unknown = "<unknown>"
	for name, settings := range map[string]s{
		"a name made by a function": {"ami_name": "hello {{ clean_resource_name `1:2` }}"},
		"an SSM parameter":          {"source_ami": "resolve:ssm:/aws/service/debian/release/12/latest/amd64"},
		"the name of an image":      {"source_ami": "debian-12-*"},
		"a filter": {
			"source_ami": "", "source_ami_filter": s{"owners": []string{"amazon"}, "most_recent": true},
		},
		"an id and a filter": {"source_ami_filter": s{"owners": []string{"amazon"}}},
		"every form of a key": {
			"encrypt_boot": true, "kms_key_id": "mrk-1234abcd12ab34cd56ef1234567890ab",
			"ami_regions": []string{"a", "b", "c", "d", "e"},
			"region_kms_key_ids": s{
				"a": "alias/my-key_1", "b": "arn:aws:kms:eu-west-1:111111111111:key/" + testKey,
				"c": "arn:aws-us-gov:kms:us-gov-west-1:111111111111:alias/x", "d": "",
				"e": "arn:aws-cn:kms:cn-north-1:111111111111:key/mrk-1234",
			},
		},
		"sharing with a key for each region": {
			"encrypt_boot": true, "kms_key_id": "alias/a", "region_kms_key_ids": s{"eu-west-1": "alias/b"},
			"region": "us-east-1", "ami_regions": []string{"eu-west-1"}, "ami_users": []string{testAccount},
		},
		"sharing without the region that has no key": {
			"encrypt_boot": true, "region_kms_key_ids": s{"eu-west-1": "alias/b"}, "region": "us-east-1",
			"ami_regions": []string{"eu-west-1"}, "ami_users": []string{testAccount}, "skip_save_build_region": true,
		},
		"tags of many bytes": {
			"tags": s{strings.Repeat("ä", 128): strings.Repeat("本", 256)}, "ami_description": strings.Repeat("a", 255),
		},
		"a public image that is not encrypted": {
			"encrypt_boot": false, "ami_groups": []string{"all"}, "snapshot_groups": []string{"all"},
		},
		"every kind of sharing": {
			"ami_users": []string{testAccount}, "ami_product_codes": []string{"x"},
			"ami_org_arns": []string{"arn:aws:organizations::111111111111:organization/o-123example"},
			"ami_ou_arns":  []string{"arn:aws:organizations::111111111111:ou/o-123example/ou-1234-5exampleouid"},
		},
		"a boot mode and a TPM": {
			"boot_mode": "uefi", "tpm_support": "v2.0", "imds_support": "v2.0", "ami_virtualization_type": "hvm",
			"ena_support": false, "sriov_support": true,
		},
		"values that are not known yet": {
			"ami_name": unknown, "source_ami": unknown, "ami_regions": []string{unknown}, "encrypt_boot": true,
			"kms_key_id": unknown, "region_kms_key_ids": s{"a": unknown}, "ami_users": []string{unknown},
			"ami_groups": []string{unknown}, "ami_org_arns": []string{unknown}, "ami_ou_arns": []string{unknown},
			"imds_support": unknown, "boot_mode": unknown, "tpm_support": unknown, "ami_virtualization_type": unknown,
			"sriov_support": true, "snapshot_copy_duration_minutes": 0, "image_timeout": unknown,
			"deprecate_at": unknown,
			"tag":          []any{s{"key": unknown, "value": unknown}}, "snapshot_users": []string{unknown},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, errs := check(t, settings); len(errs) > 0 {
				t.Errorf("errors: %v", errs)
			}
		})
	}
}

func TestCheckJoinsTagsAndTagBlocksAndSetsDefaults(t *testing.T) {
	c, errs := check(t, map[string]any{
		"tags":         map[string]any{"a": "1", "{{ .SourceAMI }}": "2"},
		"tag":          []any{map[string]any{"key": "b", "value": "3"}},
		"snapshot_tag": []any{map[string]any{"key": "c", "value": "3"}, map[string]any{"key": "d", "value": "4"}},
		"encrypt_boot": true, "ena_support": "false", "snapshot_copy_duration_minutes": 45,
		"deregistration_protection": map[string]any{"with_cooldown": true},
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, diff := range []string{
		cmp.Diff(map[string]string{"a": "1", "{{ .SourceAMI }}": "2", "b": "3"}, c.Tags),
		cmp.Diff(map[string]string{"c": "3", "d": "4"}, c.SnapshotTags),
		cmp.Diff(DeregistrationProtection{Enabled: true, WithCooldown: true}, c.DeregistrationProtection),
		cmp.Diff(config.TriTrue, c.EncryptBoot), cmp.Diff(config.TriFalse, c.ENASupport),
		cmp.Diff(int64(45), *c.copyMinutes()),
		cmp.Diff(30*time.Minute, c.ImageTimeout), cmp.Diff(5*time.Second, c.ImagePollInterval),
	} {
		if diff != "" {
			t.Error(diff)
		}
	}
}

func TestForceOfPackerReplacesTheImage(t *testing.T) {
	c := &ImageConfig{AMIName: "hello-1"}
	if _, errs := c.Check(true, &interpolate.Context{}); len(errs) > 0 || !c.ForceDeregister {
		t.Errorf("force_deregister is %t, errors %v", c.ForceDeregister, errs)
	}
}

func TestCheckRefusesADescriptionThatIsNoTemplate(t *testing.T) {
	c := &ImageConfig{AMIName: "hello-1", AMIDescription: "{{ .SourceAMI "}
	_, errs := c.Check(false, &interpolate.Context{})
	if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), "ami_description: ") {
		t.Errorf("errors: %v", errs)
	}
}

func TestAnUnknownDeprecationTimeIsRefusedWhenItIsNeeded(t *testing.T) {
	if _, err := (&AttributesConfig{DeprecateAt: "<unknown>"}).deprecationTime(); err == nil {
		t.Error("no error")
	}
}
