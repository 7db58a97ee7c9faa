// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestAllLinkedModulesHaveAnAllowedLicence(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), filepath.Join("..", ".."), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Go's standard library: BSD-3-Clause\n", "github.com/hashicorp/packer-plugin-sdk v",
		"schema-cloud-config-v1.json is part of cloud-init",
		"github.com/nywilken/go-cty v", // replaces another module
		"golang.org/x/sys v",           // more of its packages are linked on Windows
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the notices lack %q", want)
		}
	}
	if regexp.MustCompile(`(?m)^\S+/(google/licensecheck|rclone/gofakes3) `).MatchString(out.String()) {
		t.Error("the notices name what only the tests and the lab have")
	}
	if n := strings.Count(out.String(), "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"); n > 15 {
		t.Errorf("the Apache License appears %d times", n)
	}
}

func TestModulesWithoutAnAllowedLicenceAreNamed(t *testing.T) {
	own, err := os.ReadFile(filepath.Join("..", "..", "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	const gpl = `This program is free software: you can redistribute it and/or modify it under the terms of the
GNU General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your
option) any later version.

This program is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY; without even the
implied warranty of MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE. See the GNU General Public License for
more details.

You should have received a copy of the GNU General Public License along with this program. If not, see
<https://www.gnu.org/licenses/>.`
	err = check([]module{
		{"good", "v1", []notice{{"LICENSE", string(own)}}},
		{"copyleft", "v2", []notice{{"sub/COPYING", gpl}}},
		{"without", "v3", []notice{{"NOTICE", "See LICENSE"}}},
		{"unknown", "v4", []notice{{"LICENSE.txt", string(own) + strings.Repeat("and give us all your money ", 2000)}}},
	})
	if err == nil || strings.Contains(err.Error(), "good") {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"copyleft v2: sub/COPYING is GPL", "without v3 has no licence", "unknown v4: only "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q: %v", want, err)
		}
	}
}

func TestThePlatformsAreThoseOfReleases(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", ".goreleaser.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var release struct {
		Builds []struct{ GOOS, GOARCH []string }
	}
	if err := yaml.Unmarshal(text, &release); err != nil {
		t.Fatal(err)
	}
	for _, b := range release.Builds {
		if strings.Join(b.GOOS, " ") != strings.Join(systems, " ") ||
			strings.Join(b.GOARCH, " ") != strings.Join(architectures, " ") {
			t.Errorf(".goreleaser.yml builds for %v on %v", b.GOOS, b.GOARCH)
		}
	}
}

// A module may have its licence in each file alone.
func TestLicencesInTheFilesAreFound(t *testing.T) {
	own := "/*\nLicensed under the Apache License, Version 2.0 (the \"License\");\n*/\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int
	}{
		"in all":        {map[string]string{"p/a.go": own + "package p", "p/b.go": own + "package p"}, 1},
		"in one":        {map[string]string{"p/a.go": own + "package p", "p/b.go": "package p"}, 0},
		"beside a file": {map[string]string{"p/a.go": own + "package p", "LICENSE": "x"}, 1},
	} {
		dir := t.TempDir()
		for path, text := range c.files {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		found, err := notices(dir, []string{filepath.Join(dir, "p"), dir})
		if err != nil || len(found) != c.want {
			t.Errorf("%s: %v, %v", name, err, found)
		}
	}
}
