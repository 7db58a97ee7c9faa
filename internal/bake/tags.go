// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bake

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// The tags of the bake's own. TagBake and TagExpires are on everything that a bake makes, so that what a killed Packer
// leaves can be found. An image that a bake has completed has no TagExpires any more. TagSelf holds the id of the
// resource itself: see package ownership.
const (
	TagName    = "Name"
	TagVersion = "Version"
	TagBake    = TagPrefix + "bake-id"
	TagExpires = TagPrefix + "expires"
	TagSelf    = TagPrefix + "self"
	TagAttempt = TagPrefix + "attempt" // of a machine: "2" for the bake's second one; the first has none
	TagSource  = TagPrefix + "source-ami"

	TagInputs        = TagPrefix + "inputs"         // the digest of all inputs
	TagInputsDetail  = TagPrefix + "inputs-detail"  // each of them, for people and to say what has changed
	TagInputsOptions = TagPrefix + "inputs-options" // the options among them

	// TagPrefix begins the keys that only the plugin itself may set.
	TagPrefix = "bakery:"
)

// Render fills in the build data, such as {{ .SourceAMI }}, of the text of a setting.
type Render func(setting, text string) (string, error)

// Tags renders the tags of one setting and returns them together with base. A rendered tag replaces a tag of base that
// has the same key. The error names all tags that cannot be rendered; the others are returned even then.
func (r Render) Tags(base map[string]string, setting string, tags map[string]string) (map[string]string, error) {
	all := map[string]string{}
	maps.Copy(all, base)
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		name, err := r(setting, key)
		value, valueErr := r(fmt.Sprintf("%s: %q", setting, key), tags[key])
		if err := errors.Join(err, checkOwnKey(setting, name), valueErr); err != nil {
			errs = append(errs, err)
			continue
		}
		all[name] = value
	}
	return all, errors.Join(errs...)
}

// CheckTags refuses tags of a template that AWS would refuse, or that have a key of the plugin's.
func CheckTags(setting string, tags map[string]string) []error {
	errs := CheckTagLimits(setting, tags)
	for key := range tags {
		if err := checkOwnKey(setting, key); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// checkOwnKey refuses a template's tag that would take the place of one of the plugin's.
func checkOwnKey(setting, key string) error {
	if !strings.HasPrefix(strings.ToLower(key), TagPrefix) {
		return nil
	}
	return fmt.Errorf("%s: the key %q begins with bakery:, as only the builder's own may: by those, it knows what it "+
		"may remove",
		setting, key)
}

// CheckTagLimits refuses tags that AWS would refuse, which would be after the machine has run.
func CheckTagLimits(setting string, tags map[string]string) []error {
	var errs []error
	for key, value := range tags {
		switch {
		case key == "" || utf8.RuneCountInString(key) > 128:
			errs = append(errs, fmt.Errorf("%s: the key %q must have 1 to 128 characters", setting, key))
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			errs = append(errs, fmt.Errorf("%s: the key %q begins with aws:, which only AWS may use", setting, key))
		case utf8.RuneCountInString(value) > 256 && !strings.Contains(value, "{{"):
			errs = append(errs, fmt.Errorf("%s: the value of %q has %d characters; it must have at most 256",
				setting, key,
				utf8.RuneCountInString(value)))
		}
	}
	return errs
}
