// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/instance"
)

// TestTagsReportsVolumeAndSpotTagsTogether has tags that cannot be rendered in two settings that do not depend on each
// other: both are reported, and the tags that could be rendered are returned.
func TestTagsReportsVolumeAndSpotTagsTogether(t *testing.T) {
	unknown := map[string]string{"x": "{{ .Unknown }}"}
	settings := instance.Settings{
		Run:  &instance.RunConfig{RunTags: map[string]string{"team": "web"}, RunVolumeTags: unknown},
		Spot: &instance.SpotConfig{SpotTags: unknown},
	}
	render := func(setting, text string) (string, error) {
		if strings.Contains(text, "Unknown") {
			return "", errors.New(setting + ": Unknown is no build datum")
		}
		return text, nil
	}
	tags, err := settings.Tags(&bake.Bake{ID: "0123456789abcdef"}, render, 2)
	for _, setting := range []string{"run_volume_tags", "spot_tags"} {
		if err == nil || strings.Count(err.Error(), setting+`: "x": Unknown is no build datum`) != 1 {
			t.Errorf("%s is not reported once: %v", setting, err)
		}
	}
	if tags.Machine["team"] != "web" || tags.Machine[bake.TagAttempt] != "2" {
		t.Errorf("the machine's tags are %v", tags.Machine)
	}
}
