// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// CopyConfig says in which regions the image is wanted, and how it is encrypted there.
type CopyConfig struct {
	// The regions to copy the image to, beside the region of the build, which may be in the list as well. All copies
	// are made at the same time, with the tags, the description, the sharing and the other attributes of the image.
	// When one of them fails, all are removed. Default: none.
	AMIRegions []string `mapstructure:"ami_regions"`
	// Do not ask EC2 whether `region`, those of `ami_regions` and those of `region_kms_key_ids` exist and are enabled
	// for the account. Without `ami_regions` and `region_kms_key_ids` nothing is asked anyway. Default: `false`.
	SkipRegionValidation bool `mapstructure:"skip_region_validation"`
	// The minutes within which each snapshot is to be copied, in steps of 15 and at most 2880, for a price:
	// [time-based copies](https://docs.aws.amazon.com/ebs/latest/userguide/time-based-copies.html). Default: as long
	// as it takes.
	SnapshotCopyDurationMinutes *int64 `mapstructure:"snapshot_copy_duration_minutes"`
	// Encrypt the image, or do not. `true` makes an intermediary image under a temporary name, copies that to the
	// name with encryption, and removes it. `false` asks for copies that are not encrypted, which EC2 refuses for what
	// is encrypted already. Default: the image is as its machine was, and so are its copies. Where the disks of the
	// machine can be encrypted instead (`launch_block_device_mappings`), that saves the copy.
	EncryptBoot config.Trilean `mapstructure:"encrypt_boot"`
	// The KMS key to encrypt the image with in the region of the build: an id, an ARN, or an alias with `alias/`
	// before it. Needs `encrypt_boot = true`. Default: the account's key for EBS. Copies in other regions take theirs
	// from `region_kms_key_ids`, which also wins over this one.
	KMSKeyID string `mapstructure:"kms_key_id"`
	// The KMS keys to encrypt with by region; `""` is the account's key for EBS there. Needs `encrypt_boot = true`. Its
	// regions must be those of `ami_regions`. Default: the account's key for EBS in each region.
	RegionKMSKeyIDs map[string]string `mapstructure:"region_kms_key_ids"`
	// Keep no image in the region of the build: an intermediary one under a temporary name is copied to `ami_regions`
	// and removed. Default: `false`.
	SkipSaveBuildRegion bool `mapstructure:"skip_save_build_region"`
}

// kmsKey is the forms of a key that CopyImage accepts: those of amazon-ebs, in every partition:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CopyImage.html.
var kmsKey = regexp.MustCompile(`^(` + kmsID + `|` + kmsAlias +
	`|arn:aws[a-z-]*:kms:[a-z0-9-]*:\d{12}:(key/` + kmsID + `|` + kmsAlias + `))$`)

const (
	kmsID    = `(mrk-)?[a-f0-9]+[a-f0-9-]+`
	kmsAlias = `alias/[a-zA-Z0-9:/_-]+`
)

// Check returns warnings and what is wrong with the settings. region is that of the build; it may not be known yet.
func (c *CopyConfig) Check(region string, s *SharingConfig) ([]string, []error) {
	errs := c.checkKeys()
	errs = append(errs, c.checkKeyRegions()...)
	errs = append(errs, c.checkSharedKeys(region, s)...)
	if m := c.SnapshotCopyDurationMinutes; m != nil && *m != 0 && (*m < 15 || *m > 2880 || *m%15 != 0) {
		errs = append(errs, fmt.Errorf("snapshot_copy_duration_minutes is %d; it must be a multiple of 15, and at "+
			"most 2880", *m))
	}
	if c.SkipSaveBuildRegion && len(c.OtherRegions(region)) == 0 {
		errs = append(errs, errors.New("skip_save_build_region keeps no image in the region of the build, so "+
			"ami_regions must name another one"))
	}
	return nil, errs
}

// OtherRegions returns those of ami_regions, each once, without the region of the build.
func (c *CopyConfig) OtherRegions(build string) []string {
	var others []string
	for _, r := range c.AMIRegions {
		if r != build && !slices.Contains(others, r) {
			others = append(others, r)
		}
	}
	return others
}

func (c *CopyConfig) checkKeys() []error {
	var errs []error
	keys := map[string]string{"kms_key_id": c.KMSKeyID}
	for region, key := range c.RegionKMSKeyIDs {
		keys["region_kms_key_ids: "+region] = key
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if key := keys[name]; setting.Known(key) && !kmsKey.MatchString(key) {
			errs = append(errs, fmt.Errorf("%s: %q is not a KMS key, which is an id, an ARN, or alias/ and a name",
				name, key))
		}
	}
	if c.EncryptBoot.True() {
		return errs
	}
	if setting.Known(c.KMSKeyID) {
		errs = append(errs, errors.New("kms_key_id encrypts nothing unless encrypt_boot = true"))
	}
	if slices.ContainsFunc(slices.Collect(maps.Values(c.RegionKMSKeyIDs)), setting.Known) {
		errs = append(errs, errors.New("region_kms_key_ids encrypts nothing unless encrypt_boot = true"))
	}
	return errs
}

// checkKeyRegions checks that both lists have the same regions.
func (c *CopyConfig) checkKeyRegions() []error {
	if len(c.RegionKMSKeyIDs) == 0 || slices.ContainsFunc(c.AMIRegions, setting.Unknown) ||
		setting.Unknown(fmt.Sprint(c.RegionKMSKeyIDs)) {
		return nil
	}
	var errs []error
	for _, region := range slices.Sorted(maps.Keys(c.RegionKMSKeyIDs)) {
		if !slices.Contains(c.AMIRegions, region) {
			errs = append(errs, fmt.Errorf("region_kms_key_ids has a key for %s, which is not in ami_regions", region))
		}
	}
	for _, region := range slices.Compact(slices.Sorted(slices.Values(c.AMIRegions))) {
		if _, ok := c.RegionKMSKeyIDs[region]; !ok {
			errs = append(errs, fmt.Errorf("ami_regions has %s, for which region_kms_key_ids has no key; \"\" is the "+
				"account's key for EBS", region))
		}
	}
	return errs
}

// checkSharedKeys refuses to share what nobody else could decrypt. The account's key for EBS cannot be shared.
func (c *CopyConfig) checkSharedKeys(region string, s *SharingConfig) []error {
	var errs []error
	if !c.EncryptBoot.True() {
		return nil
	}
	for _, name := range s.publicSettings() {
		errs = append(errs, fmt.Errorf("%s makes public what encrypt_boot encrypts, which EC2 refuses: leave one of "+
			"them out", name))
	}
	where, uses := c.usesAccountKey(region)
	if !uses {
		return errs
	}
	for _, name := range s.sharedSettings() {
		errs = append(errs, fmt.Errorf("%s shares what encrypt_boot encrypts with the account's key for EBS%s (no key "+
			"is set, or %s), which nobody else can use: set kms_key_id to a key of your own for the region of the "+
			"build, and one for every other region in region_kms_key_ids", name, where, awsKey))
	}
	return errs
}

// usesAccountKey reports whether the image is encrypted with the account's key for EBS in any region, and in which.
// region is that of the build; the environment may set it later, and until then nobody knows in which region kms_key_id
// counts.
func (c *CopyConfig) usesAccountKey(region string) (where string, uses bool) {
	if !setting.Known(region) {
		own := isAccountKey(c.KMSKeyID) && len(c.RegionKMSKeyIDs) == 0
		for _, key := range c.RegionKMSKeyIDs {
			own = own || isAccountKey(key)
		}
		return "", own
	}
	wanted := c.OtherRegions(region)
	if !c.SkipSaveBuildRegion {
		wanted = append([]string{region}, wanted...)
	}
	without := slices.DeleteFunc(wanted, func(r string) bool {
		return setting.Unknown(r) || !isAccountKey(c.key(r, region))
	})
	return " in " + strings.Join(without, ", "), len(without) > 0
}

// isAccountKey reports whether a key, as a setting names it, is the account's key for EBS.
func isAccountKey(key string) bool { return key == "" || keyEncryption(key) == awsKeyEncrypted }

// key returns the key to encrypt with in a region; "" is the account's key for EBS.
func (c *CopyConfig) key(region, build string) string {
	if !c.EncryptBoot.True() {
		return ""
	}
	if key, ok := c.RegionKMSKeyIDs[region]; ok {
		return key
	}
	if region == build {
		return c.KMSKeyID
	}
	return ""
}

// UsesIntermediary reports whether the image is a copy even in the region of the build: EC2 encrypts only while it
// copies.
func (c *CopyConfig) UsesIntermediary() bool { return c.EncryptBoot.True() || c.SkipSaveBuildRegion }

// copyMinutes returns the setting as CopyImage accepts it. Packer passes 0 for a value that is not known yet.
func (c *CopyConfig) copyMinutes() *int64 {
	if m := c.SnapshotCopyDurationMinutes; m != nil && *m != 0 {
		return m
	}
	return nil
}
