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
	of := func(name string, m mirror, options []string) recipe {
		v, ok := find(name)
		if !ok {
			t.Fatalf("there is no %s", name)
		}
		return newRecipe(v, m, options)
	}
	base := of("bookworm", m, nil)
	if !strings.HasPrefix(base.name(), "bookworm-") || base.name() != of("bookworm", m, nil).name() {
		t.Errorf("name %q is not stable", base.name())
	}
	others := map[string]recipe{
		"suite":    of("trixie", m, nil),
		"mirror":   of("bookworm", mirror{}, nil),
		"tweak":    of("fips", m, nil),
		"disk":     of("xfs", m, nil),
		"settings": of("bookworm", m, []string{`Acquire::http::Proxy "http://p.example:3128"`}),
	}
	for what, other := range others {
		if other.name() == base.name() {
			t.Errorf("another %s gives the same name", what)
		}
	}
}

// TestABaseImageIsKnownByItsName checks that the files of one base image are not those of another: old ones are removed
// by NAME-*.
func TestABaseImageIsKnownByItsName(t *testing.T) {
	for _, v := range variants {
		r := newRecipe(v, mirror{}, nil)
		if got, _, _ := strings.Cut(r.name(), "-"); got != v.name {
			t.Errorf("the files of %s begin with %s", v.name, r.name())
		}
		if v.tweak != (r.Tweak != "") {
			t.Errorf("the tweak of %s is %q", v.name, r.Tweak)
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
