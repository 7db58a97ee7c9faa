// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bake

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// renderSource fills in the one build datum of these tests.
func renderSource(setting, text string) (string, error) {
	if strings.Contains(text, "{{ .Unknown }}") {
		return "", errors.New(setting + ": Unknown is no build datum")
	}
	return strings.ReplaceAll(text, "{{ .SourceAMI }}", "ami-1"), nil
}

func TestTagsOfTemplateAreRenderedAndWin(t *testing.T) {
	base := map[string]string{TagName: "hello", TagBake: testID}
	got, err := Render(renderSource).Tags(base, "tags", map[string]string{
		"Name": "mine", "of {{ .SourceAMI }}": "from {{ .SourceAMI }}",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{TagName: "mine", TagBake: testID, "of ami-1": "from ami-1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if base[TagName] != "hello" {
		t.Error("the base was changed")
	}
}

func TestTagsThatCannotBeRendered(t *testing.T) {
	for name, tags := range map[string]map[string]string{
		"a key that is unknown":              {"{{ .Unknown }}": ""},
		"a value that is unknown":            {"x": "{{ .Unknown }}"},
		"a key that renders to the plugin's": {"bakery:{{ .SourceAMI }}": ""},
	} {
		_, err := Render(renderSource).Tags(map[string]string{}, "run_tags", tags)
		if err == nil || !strings.HasPrefix(err.Error(), "run_tags: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestAllTagsThatCannotBeRenderedAreReportedAtOnce(t *testing.T) {
	got, err := Render(renderSource).Tags(nil, "tags", map[string]string{
		"b": "{{ .Unknown }}", "bakery:a": "", "fine": "{{ .SourceAMI }}",
	})
	if diff := cmp.Diff(map[string]string{"fine": "ami-1"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	problems := strings.Split(fmt.Sprint(err), "\n")
	if len(problems) != 2 || !strings.Contains(problems[0], "Unknown") || !strings.Contains(problems[1], "bakery:a") {
		t.Errorf("not the two problems, by the order of their keys: %v", err)
	}
}

func TestCheckTags(t *testing.T) {
	for name, c := range map[string]struct {
		key, value string
		want       string // in the error; "" for none
	}{
		"plain":                    {"team", "builders", ""},
		"the most that AWS allows": {strings.Repeat("ä", 128), strings.Repeat("本", 256), ""},
		"a value that is rendered": {"x", "{{ .SourceAMI }}" + strings.Repeat("x", 256), ""},
		"no key":                   {"", "x", "must have 1 to 128 characters"},
		"a long key":               {strings.Repeat("x", 129), "", "must have 1 to 128 characters"},
		"a long value": {
			"x", strings.Repeat("x", 257), "has 257 characters; it must have at most 256",
		},
		"a key of AWS":                  {"AWS:x", "", "begins with aws:"},
		"a key of the plugin":           {TagExpires, "", "begins with bakery:"},
		"a key of the plugin, in caps":  {"Bakery:x", "", "begins with bakery:"},
		"a key with the prefix's words": {"bakery-team", "", ""},
	} {
		err := errors.Join(CheckTags("run_tags", map[string]string{c.key: c.value})...)
		switch {
		case c.want == "":
			if err != nil {
				t.Errorf("%s: error %v", name, err)
			}
		case err == nil || !strings.HasPrefix(err.Error(), "run_tags: ") || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}
