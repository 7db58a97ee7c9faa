// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import "testing"

func TestCleanResourceName(t *testing.T) {
	for given, want := range map[string]string{"a:b": "a-b", "(a) [b] ./-'@_": "(a) [b] ./-'@_", "é": "--"} {
		if got := cleanResourceName(given); got != want {
			t.Errorf("cleanResourceName(%q) = %q, want %q", given, got, want)
		}
	}
}
