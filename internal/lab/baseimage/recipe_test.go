// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAChangeOfTheRecipeChangesTheImagesName(t *testing.T) {
	m := mirror{archive: "http://a.example/debian"}
	base := newRecipe("bookworm", m, nil)
	if !strings.HasPrefix(base.name(), "bookworm-") || base.name() != newRecipe("bookworm", m, nil).name() {
		t.Errorf("name %q is not stable", base.name())
	}
	others := map[string]recipe{
		"suite":    newRecipe("trixie", m, nil),
		"mirror":   newRecipe("bookworm", mirror{}, nil),
		"settings": newRecipe("bookworm", m, []string{`Acquire::http::Proxy "http://p.example:3128"`}),
	}
	for what, other := range others {
		if other.name() == base.name() {
			t.Errorf("another %s gives the same name", what)
		}
	}
}

func TestInheritedAptOptions(t *testing.T) {
	dump := `APT "";
APT::Install-Recommends "false";
Acquire::Check-Valid-Until "false";
Acquire::http "";
Acquire::http::Proxy "http://p.example:3128";
Acquire::https::Proxy "DIRECT";
Acquire::Languages:: "none";
`
	want := []string{
		`Acquire::Check-Valid-Until "false"`,
		`Acquire::http::Proxy "http://p.example:3128"`,
		`Acquire::https::Proxy "DIRECT"`,
	}
	if diff := cmp.Diff(want, matchOptions(dump)); diff != "" {
		t.Error(diff)
	}
}
