// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package problem

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestString(t *testing.T) {
	for name, tt := range map[string]struct {
		problem Problem
		want    string
	}{
		"everything is known":     {Problem{"a.cfg", 3, 18, Error, "wrong"}, "a.cfg:3:18: wrong"},
		"a warning":               {Problem{"a.cfg", 3, 18, Warning, "odd"}, "a.cfg:3:18: warning: odd"},
		"without a column":        {Problem{"a.cfg", 3, 0, Error, "wrong"}, "a.cfg:3: wrong"},
		"a column without a line": {Problem{"a.cfg", 0, 18, Error, "wrong"}, "a.cfg: wrong"},
		"in no file":              {Problem{"", 3, 18, Warning, "odd"}, "warning: odd"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.problem.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestList(t *testing.T) {
	var l List
	l.Warnf("b", 1, 0, "odd %d", 1)
	l.Errorf("b", 1, 2, "wrong %d", 1)
	l.Errorf("a", 9, 9, "wrong %d", 2)
	l.Sort()

	want := List{{"a", 9, 9, Error, "wrong 2"}, {"b", 1, 0, Warning, "odd 1"}, {"b", 1, 2, Error, "wrong 1"}}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Errorf("sorted by file, line and column (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[1:2], l.Warnings()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if got, want := l.Err().Error(), "a:9:9: wrong 2\nb:1:2: wrong 1"; got != want {
		t.Errorf("Err is %q, want %q", got, want)
	}
	if err := l.Warnings().Err(); err != nil {
		t.Errorf("warnings alone are an error: %v", err)
	}
	if got := len(l.Warnings().Promoted().Errors()); got != 1 {
		t.Errorf("%d promoted warnings are errors, want 1", got)
	}
	if got := len(l.Warnings()); got != 1 {
		t.Errorf("promoting changed the list it was made from")
	}
}

func TestNearest(t *testing.T) {
	names := []string{"runcmd", "packages", "package_update", "ssh"}
	for word, want := range map[string]string{
		"run_cmd":  "runcmd",
		"RUNCMD":   "",
		"rucnmd":   "runcmd",
		"package":  "packages",
		"runcmd":   "",
		"sh":       "ssh",
		"anything": "",
		"":         "",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) is %q, want %q", word, got, want)
		}
	}
}
