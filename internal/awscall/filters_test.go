// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
)

func TestFilterValues(t *testing.T) {
	for text, want := range map[string][]string{
		"debian-*":             {"debian-*"},
		"debian-*, ubuntu-*":   {"debian-*", "ubuntu-*"},
		`build, "a, b"`:        {"build", "a, b"},
		`a "quoted" word`:      {`a "quoted" word`},
		"a,":                   {"a", ""},
		"x86_64,arm64,  i386 ": {"x86_64", "arm64", "i386 "},
	} {
		got, err := FilterValues(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: error %v (-want +got):\n%s", text, err, diff)
		}
	}
	if got, err := FilterValues(""); err == nil {
		t.Errorf("no value at all is read as %q", got)
	}
}

func TestFiltersAreSortedByName(t *testing.T) {
	got := plainFilters(Filters(map[string]string{"state": "available", "name": "a, b", "tag:x": "y"}))
	if diff := cmp.Diff([]string{"name=[a b]", "state=[available]", "tag:x=[y]"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFiltersWithDefault(t *testing.T) {
	for name, c := range map[string]struct {
		wanted map[string]string
		value  string
		want   []string
	}{
		"no filters":         {nil, "available", []string{"state=[available]"}},
		"another filter":     {map[string]string{"name": "x"}, "available", []string{"name=[x]", "state=[available]"}},
		"the template's own": {map[string]string{"state": "pending"}, "available", []string{"state=[pending]"}},
		"no default":         {map[string]string{"name": "x"}, "", []string{"name=[x]"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, plainFilters(FiltersWithDefault(c.wanted, "state", c.value))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func plainFilters(filters []types.Filter) []string {
	var all []string
	for _, f := range filters {
		all = append(all, fmt.Sprintf("%s=%s", aws.ToString(f.Name), f.Values))
	}
	return all
}
