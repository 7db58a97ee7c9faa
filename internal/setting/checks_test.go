// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package setting

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const unknown = "<unknown>"

// texts are the texts of errors.
func texts(errs []error) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

func TestDurationBetween(t *testing.T) {
	const byDefault, least, most = 5 * time.Minute, 2 * time.Minute, time.Hour
	for name, c := range map[string]struct {
		given, most time.Duration
		set         time.Duration
		want        []string
	}{
		"nothing":    {0, most, byDefault, nil},
		"the least":  {least, most, least, nil},
		"the most":   {most, most, most, nil},
		"too little": {time.Second, most, time.Second, []string{"image_timeout is 1s; it must be at least 120s"}},
		"less than zero": {
			-time.Hour, most, -time.Hour, []string{"image_timeout is -1h0m0s; it must be at least 120s"},
		},
		"too much": {
			2 * time.Hour, most, 2 * time.Hour, []string{"image_timeout is 2h0m0s; it must be at most 3600s"},
		},
		"without a most": {99 * time.Hour, 0, 99 * time.Hour, nil},
	} {
		d := c.given
		errs := DurationBetween("image_timeout", &d, byDefault, least, c.most)
		if diff := cmp.Diff(c.want, texts(errs)); diff != "" || d != c.set {
			t.Errorf("%s: set to %s, errors (-want +got):\n%s", name, d, diff)
		}
	}
}

func TestCheckOneOf(t *testing.T) {
	for name, c := range map[string]struct{ given, set, want string }{
		"nothing":                  {"", "report", ""},
		"the default":              {"report", "report", ""},
		"another":                  {"stop", "stop", ""},
		"a value that is unknown":  {unknown, unknown, ""},
		"a value that is not one":  {"maybe", "maybe", `verdict is "maybe"; it must be one of ["report" "stop"]`},
		"a value in other letters": {"Stop", "Stop", `verdict is "Stop"; it must be one of ["report" "stop"]`},
	} {
		value, got := c.given, ""
		if err := CheckOneOf("verdict", &value, VerdictReport, VerdictStop); err != nil {
			got = err.Error()
		}
		if got != c.want || value != c.set {
			t.Errorf("%s: set to %q, error %q, want %q", name, value, got, c.want)
		}
	}
}

func TestCheckEach(t *testing.T) {
	users := []string{"111111111111", "me", unknown, "1111111111111"}
	errs := CheckEach("ami_users", users, AccountID, "an account id of 12 digits")
	want := []string{
		`ami_users: "me" must be an account id of 12 digits`,
		`ami_users: "1111111111111" must be an account id of 12 digits`,
	}
	if diff := cmp.Diff(want, texts(errs)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if errs := CheckEach("x", nil, regexp.MustCompile(`^$`), ""); errs != nil {
		t.Errorf("an empty list has errors: %v", errs)
	}
}

func TestCheckFilters(t *testing.T) {
	for name, c := range map[string]struct {
		filters map[string]string
		want    int
	}{
		"none":                 {nil, 0},
		"values":               {map[string]string{"name": "debian-*, ubuntu-*", "tag:a": `"a, b"`}, 0},
		"unknown values":       {map[string]string{"name": unknown}, 0},
		"no value":             {map[string]string{"name": ""}, 1},
		"no name":              {map[string]string{"": "x"}, 1},
		"neither, and another": {map[string]string{"": "", "name": ""}, 3},
	} {
		if errs := CheckFilters(c.filters); len(errs) != c.want {
			t.Errorf("%s: errors %v, want %d", name, errs, c.want)
		}
	}
}

func TestWithinKeepsCauses(t *testing.T) {
	cause := errors.New("device_name is needed")
	errs := Prefix("disks[0]", []error{cause})
	diff := cmp.Diff([]string{"disks[0]: device_name is needed"}, texts(errs))
	if diff != "" || !errors.Is(errs[0], cause) {
		t.Errorf("-want +got:\n%s", diff)
	}
	if errs := Prefix("disks[0]", nil); errs != nil {
		t.Errorf("no errors became %v", errs)
	}
}

func TestNonNil(t *testing.T) {
	err := errors.New("x")
	if got := NonNil(nil, err, nil); len(got) != 1 || !errors.Is(got[0], err) {
		t.Errorf("got %v", got)
	}
	if got := NonNil(nil, nil); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestNamesOfKnown(t *testing.T) {
	got := NamesOfKnown(map[string][]string{
		"ami_users": {"1"}, "ami_groups": {"all"}, "empty": {}, "unknown": {"1", unknown},
	})
	if diff := cmp.Diff([]string{"ami_groups", "ami_users"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
