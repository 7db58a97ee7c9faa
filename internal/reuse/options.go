// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package reuse

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/timeless"
)

// notCompared are the settings of the image on which it does not depend: how it is made, where it is wanted, and what
// is compared in the form that it has on the image.
var notCompared = []string{
	"ami_name", "reuse_unchanged", "skip_create_ami", "force_deregister", "force_delete_snapshot",
	"image_timeout", "image_poll_interval", "output_file",
	"ami_regions", "skip_region_validation", "snapshot_copy_duration_minutes", "skip_save_build_region",
	// The caller passes what is made of these.
	"ami_description", "image_version", "tags", "tag", "snapshot_tags", "snapshot_tag", "skip_ami_run_tags",
	"deprecate_at", // is set anew on the image that is returned
}

// OptionDigests returns the digests of the settings on which an image depends, by their names: those of the groups,
// which are structs of settings, and more. A setting with its default is left out, so a new setting of this plugin
// changes nothing.
func OptionDigests(groups []any, more map[string]any) (map[string]string, error) {
	all := map[string]any{}
	for _, group := range groups {
		for name, value := range nonZeroSettings(group) {
			if !slices.Contains(notCompared, name) {
				all[name] = value
			}
		}
	}
	maps.Copy(all, more)
	return digests(all)
}

// nonZeroSettings returns the settings of a struct that do not have their zero value, by their names.
func nonZeroSettings(group any) map[string]any {
	all := map[string]any{}
	v := reflect.Indirect(reflect.ValueOf(group))
	for i := range v.NumField() {
		if name, ok := v.Type().Field(i).Tag.Lookup("mapstructure"); ok && !v.Field(i).IsZero() {
			all[name] = v.Field(i).Interface()
		}
	}
	return all
}

func digests(all map[string]any) (map[string]string, error) {
	sums := map[string]string{}
	var errs []error
	for name, value := range all {
		text, err := json.Marshal(value) // writes maps in the order of their keys
		sum, slowErr := SlowDigest(text)
		errs = append(errs, err, slowErr)
		sums[name] = sum
	}
	return sums, errors.Join(errs...)
}

// TemplateTags returns the tags of an image that its template gives it, without times and ids that differ in each
// build.
func TemplateTags(tags map[string]string, bakeID string) map[string]string {
	all := map[string]string{}
	for key, value := range tags {
		if !strings.HasPrefix(key, bake.TagPrefix) {
			all[timeless.Text(key, bakeID)] = timeless.Text(value, bakeID)
		}
	}
	return all
}
