// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/timeless"
)

// notCompared are the settings of an image that make it no other image: how it comes to be, where it is wanted, and what is
// compared in the form it has on the image.
var notCompared = []string{
	"ami_name", "reuse_unchanged", "skip_create_ami", "force_deregister", "force_delete_snapshot",
	"image_timeout", "image_poll_interval", "output_file",
	"ami_regions", "skip_region_validation", "snapshot_copy_duration_minutes", "skip_save_build_region",
	"ami_description", "image_version", "tags", "tag", "snapshot_tags", "snapshot_tag", "skip_ami_run_tags", // below, rendered
	"deprecate_at", // is set anew on the image that is returned
}

// imageOptions are the digests of the settings that make the image another one, by their names. A setting that has its
// default is not among them, so a new one of this plugin changes nothing.
func (b *bake) imageOptions() (map[string]string, error) {
	c := b.config
	all := map[string]any{}
	for _, group := range []any{c.ImageConfig, c.CopyConfig, c.SharingConfig, c.TraitsConfig} {
		for name, value := range settingsSet(group) {
			if !slices.Contains(notCompared, name) {
				all[name] = value
			}
		}
	}
	o, err := b.outlined(c.AMIName)
	if err != nil {
		return nil, err
	}
	all["ami_description"] = timeless.Text(o.description, b.id)
	all["tags"] = b.ownTags(o.image)
	all["snapshot_tags"] = b.ownTags(o.snapshots)
	if len(c.LaunchBlockDevices) > 0 {
		all["launch_block_device_mappings"] = c.LaunchBlockDevices
	}
	if len(c.SkipCleanup) > 0 {
		all["skip_cleanup"] = c.SkipCleanup
	}
	if c.WipeFreeSpace {
		all["wipe_free_space"] = true
	}
	if c.Verdict == verdictStop {
		all["verdict"] = c.Verdict
	}
	if c.DeprecateAt != "" {
		all["deprecate_at"] = true
	}
	return digestsOf(all)
}

// settingsSet are the settings of a group that do not have their zero value, by their names.
func settingsSet(group any) map[string]any {
	all := map[string]any{}
	v := reflect.ValueOf(group)
	for i := range v.NumField() {
		if name, ok := v.Type().Field(i).Tag.Lookup("mapstructure"); ok && !v.Field(i).IsZero() {
			all[name] = v.Field(i).Interface()
		}
	}
	return all
}

func digestsOf(all map[string]any) (map[string]string, error) {
	digests := map[string]string{}
	var errs []error
	for name, value := range all {
		text, err := json.Marshal(value) // maps in the order of their keys
		errs = append(errs, err)
		digests[name] = sumOf(string(text))
	}
	return digests, errors.Join(errs...)
}

// ownTags are the tags of an image that its template gives it, without what is another time or id in each build.
func (b *bake) ownTags(tags map[string]string) map[string]string {
	own := map[string]string{}
	for key, value := range tags {
		if !strings.HasPrefix(key, tagPrefix) {
			own[timeless.Text(key, b.id)] = timeless.Text(value, b.id)
		}
	}
	return own
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
