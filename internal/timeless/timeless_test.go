// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package timeless

import (
	"regexp"
	"strings"
	"testing"
)

const bakeID = "00000000000000aa"

// names matches the names that EC2 accepts for images.
var names = regexp.MustCompile(`^[a-zA-Z0-9()\[\] ./\-'@_]*$`)

func TestTextReplacesTimesAndIDs(t *testing.T) {
	for name, want := range map[string]string{
		"app":                                       "app",
		"app-1.2.3":                                 "app-1.2.3",
		"app-20261121084839":                        "app-*",
		"app-20261121-084839 x86_64":                "app-* x86_64",
		"app-2026-11-21T08-48-39Z":                  "app-*",
		"app 2026-11-21 08.48.39 UTC":               "app *",
		"app-20261121T084839+0900":                  "app-*",
		"2026.11.21-app":                            "*-app",
		"app/2026/11/21/0848":                       "app/*",
		"app-2026112108":                            "app-*",
		"app-1795250919":                            "app-*",
		"app-1795250919123-1":                       "app-*-1",
		"app-123456789":                             "app-123456789",
		"app-20261121-123456789":                    "app-*-123456789",
		"app-20261321":                              "app-20261321",
		"app-20260132-1":                            "app-20260132-1",
		"app-4520261121":                            "app-4520261121",
		"app-65f2c7a1-0000-1111-2222-0123456789ab":  "app-*",
		"app-00000000000000aa":                      "app-*", // the bake's id
		"12345678901234567890-20261121":             "12345678901234567890-*",
		"10 (new 00000000000000aa)":                 "10 (new *)",
		"app-20261121 and 1795250919 and 20261121.": "app-* and * and *.",
	} {
		if got := Text(name, bakeID); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
		if got := Text(want, bakeID); got != want {
			t.Errorf("%q is %q once more", want, got)
		}
	}
}

func FuzzTimeless(f *testing.F) {
	for _, name := range []string{"app-20261121084839", "65f2c7a1-0000-1111-2222-0123456789ab", "1795250919-2026.11.21",
		"x"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := Text(name, "")
		if len(got) > len(name) {
			t.Errorf("%q is longer: %q", name, got)
		}
		if !names.MatchString(name) {
			return
		}
		// The text is used as a filter of EC2, which must find the name itself.
		rest, parts := name, strings.Split(got, Anytime)
		for i, part := range parts {
			at := strings.Index(rest, part)
			if at < 0 || i == 0 && at != 0 || i == len(parts)-1 && !strings.HasSuffix(name, part) {
				t.Fatalf("%q does not find %q", got, name)
			}
			rest = rest[at+len(part):]
		}
	})
}
