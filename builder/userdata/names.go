// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"unicode/utf8"
)

// templateFuncs are the functions of `{{ }}` in this builder's settings beside Packer's own.
var templateFuncs = template.FuncMap{"clean_resource_name": cleanResourceName}

// cleanResourceName makes a name that CreateImage takes: each byte of what it does not take becomes a hyphen, as with
// amazon-ebs.
func cleanResourceName(s string) string {
	return notInImageName.ReplaceAllStringFunc(s, func(c string) string { return strings.Repeat("-", len(c)) })
}

var notInImageName = regexp.MustCompile(`[^a-zA-Z0-9()\[\] ./\-'@_]`)

// checkOwnKey refuses a template's tag that would take the place of one of the builder's.
func checkOwnKey(setting, key string) error {
	if !strings.HasPrefix(strings.ToLower(key), "bakery:") {
		return nil
	}
	return fmt.Errorf("%s: the key %q begins with bakery:, as only the builder's own may: by those, it knows what it may remove",
		setting, key)
}

// checkTags refuses tags of a template that cannot be.
func checkTags(name string, tags map[string]string) []error {
	errs := checkTagLimits(name, tags)
	for key := range tags {
		if err := checkOwnKey(name, key); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// checkTagLimits refuses tags that AWS would refuse, after the machine has run.
func checkTagLimits(name string, tags map[string]string) []error {
	var errs []error
	for key, value := range tags {
		switch {
		case key == "" || utf8.RuneCountInString(key) > 128:
			errs = append(errs, fmt.Errorf("%s: the key %q must have 1 to 128 characters", name, key))
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			errs = append(errs, fmt.Errorf("%s: the key %q begins with aws:, which only AWS may use", name, key))
		case utf8.RuneCountInString(value) > 256 && !strings.Contains(value, "{{"):
			errs = append(errs, fmt.Errorf("%s: the value of %q has %d characters; it must have at most 256", name, key,
				utf8.RuneCountInString(value)))
		}
	}
	return errs
}
