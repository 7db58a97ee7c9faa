// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package network

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/placeholder"
)

// decode returns the settings of a template, checked.
func decode(t *testing.T, settings map[string]any) (*AttachConfig, error) {
	t.Helper()
	c := new(AttachConfig)
	if err := config.Decode(c, &config.DecodeOpts{PluginType: "bakery"}, settings); err != nil {
		t.Fatal(err)
	}
	warnings, errs := c.Check()
	if len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
	return c, errors.Join(errs...)
}

func TestCheckRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		settings map[string]any
		want     string
	}{
		"a group and several": {
			map[string]any{"security_group_id": "sg-1", "security_group_ids": []string{"sg-2"}}, "exclude each other",
		},
		"a filter without a name": {
			map[string]any{"vpc_filter": map[string]any{"filters": map[string]any{"": "x"}}}, "vpc_filter: filters:",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(t, c.settings)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestCheckAcceptsGroupsThatAreNotKnownYet(t *testing.T) {
	for name, settings := range map[string]map[string]any{
		"the one":    {"security_group_id": placeholder.Unknown, "security_group_ids": []string{"sg-2"}},
		"the others": {"security_group_id": "sg-1", "security_group_ids": []string{placeholder.Unknown}},
	} {
		if _, err := decode(t, settings); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFiltersWithoutFiltersAreAccepted checks blocks that amazon-ebs ignores too.
func TestFiltersWithoutFiltersAreAccepted(t *testing.T) {
	for name, block := range map[string]map[string]any{
		"subnet_filter": {"random": true}, "vpc_filter": {}, "security_group_filter": {},
	} {
		if _, err := decode(t, map[string]any{name: block}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := decode(t, map[string]any{"subnet_filter": map[string]any{"most_free": true}}); err != nil {
		t.Errorf("most_free: %v", err)
	}
}

func TestCheckAddsFilterBlocksToTheFilters(t *testing.T) {
	block := []any{map[string]any{"name": "tag:b", "value": "2"}}
	filter := map[string]any{"filters": map[string]any{"tag:a": "1"}, "filter": block}
	c, err := decode(t, map[string]any{
		"subnet_filter":         map[string]any{"filters": filter["filters"], "filter": block, "most_free": true},
		"vpc_filter":            filter,
		"security_group_filter": filter,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"tag:a": "1", "tag:b": "2"}
	for name, got := range map[string]map[string]string{
		"subnet_filter":         c.SubnetFilter.Filters,
		"vpc_filter":            c.VpcFilter.Filters,
		"security_group_filter": c.SecurityGroupFilter.Filters,
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if !c.SubnetFilter.MostFree {
		t.Error("most_free is not set")
	}
}

func TestGroupIDs(t *testing.T) {
	one := AttachConfig{SecurityGroupID: "sg-1"}
	several := AttachConfig{SecurityGroupIDs: []string{"sg-1", "sg-2"}}
	if diff := cmp.Diff([]string{"sg-1"}, one.GroupIDs()); diff != "" {
		t.Errorf("security_group_id (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"sg-1", "sg-2"}, several.GroupIDs()); diff != "" {
		t.Errorf("security_group_ids (-want +got):\n%s", diff)
	}
	if ids := new(AttachConfig).GroupIDs(); ids != nil {
		t.Errorf("no setting gives %q", ids)
	}
}
