// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package setting

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// AccountID is the form of an AWS account's id.
var AccountID = regexp.MustCompile(`^\d{12}$`)

// DurationBetween sets a default where the template says nothing, and checks the limits; a most of 0 is no limit.
func DurationBetween(name string, d *time.Duration, byDefault, least, most time.Duration) []error {
	if *d == 0 {
		*d = byDefault
	}
	switch {
	case *d < least:
		return []error{fmt.Errorf("%s is %s; it must be at least %s", name, *d, seconds(least))}
	case most > 0 && *d > most:
		return []error{fmt.Errorf("%s is %s; it must be at most %s", name, *d, seconds(most))}
	}
	return nil
}

// seconds formats a limit the way people write it in a template: "120s", not "2m0s".
func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + "s" }

// CheckOneOf sets a default where the template says nothing, and refuses any value but that and the others.
func CheckOneOf(name string, value *string, byDefault string, others ...string) error {
	if *value == "" {
		*value = byDefault
	}
	if *value == byDefault || slices.Contains(others, *value) || Unknown(*value) {
		return nil
	}
	return fmt.Errorf("%s is %q; it must be one of %q", name, *value, append([]string{byDefault}, others...))
}

// CheckEach refuses the values of a list that do not have a form; want says the form in words.
func CheckEach(setting string, values []string, form *regexp.Regexp, want string) []error {
	var errs []error
	for _, v := range values {
		if !Unknown(v) && !form.MatchString(v) {
			errs = append(errs, fmt.Errorf("%s: %q must be %s", setting, v, want))
		}
	}
	return errs
}

// CheckFilters refuses filters that no call could be made with.
func CheckFilters(filters map[string]string) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(filters)) {
		if name == "" {
			errs = append(errs, fmt.Errorf("filters: there is a filter without a name"))
		}
		if _, err := awscall.FilterValues(filters[name]); err != nil && !Unknown(filters[name]) {
			errs = append(errs, fmt.Errorf("filters: %s: %q is no value, nor values separated by commas: %w",
				name, filters[name], err))
		}
	}
	return errs
}

// Prefix puts the name of a setting in front of the errors about it.
func Prefix(setting string, errs []error) []error {
	var all []error
	for _, err := range errs {
		all = append(all, fmt.Errorf("%s: %w", setting, err))
	}
	return all
}

// NonNil returns the errors that are not nil.
func NonNil(errs ...error) []error {
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// NamesOfKnown returns the sorted names of the lists that have values, all of them known.
func NamesOfKnown(lists map[string][]string) []string {
	var names []string
	for name, list := range lists {
		if len(list) > 0 && !slices.ContainsFunc(list, Unknown) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
