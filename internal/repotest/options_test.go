// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

const optionsPage = "docs/amazon-ebs-options.md"

// What this builder does with an option, as the page says.
const (
	optionSame    = "same"    // it means the same as in amazon-ebs
	optionMapped  = "mapped"  // it has a similar effect
	optionIgnored = "ignored" // it is accepted, and a warning lists it
)

// optionRow matches a row of the page: | `option` | word | note |.
var optionRow = regexp.MustCompile("(?m)^\\| `([A-Za-z0-9_]+)` \\| ([a-z]+) \\|(.*)\\|$")

// rows returns the word of the page for each option.
func rows(t *testing.T) map[string]string {
	t.Helper()

	rows := map[string]string{}
	for _, match := range optionRow.FindAllStringSubmatch(read(t, optionsPage), -1) {
		if rows[match[1]] != "" {
			t.Errorf("%s has two rows of %s", optionsPage, match[1])
		}
		if !slices.Contains([]string{optionSame, optionMapped, optionIgnored}, match[2]) {
			t.Errorf("%s says %q of %s", optionsPage, match[2], match[1])
		}
		if match[2] != optionSame && strings.TrimSpace(match[3]) == "" {
			t.Errorf("%s says that %s is %s, and not why or what happens instead", optionsPage, match[1], match[2])
		}
		rows[match[1]] = match[2]
	}

	return rows
}

// peerOptions returns the options of the real amazon-ebs that a template can set.
func peerOptions(t *testing.T, s specs) map[string]option {
	t.Helper()

	options := s.of(t, "github.com/hashicorp/packer-plugin-amazon/builder/ebs", "FlatConfig")
	// Packer itself sets these for every builder.
	maps.DeleteFunc(options, func(name string, _ option) bool { return strings.HasPrefix(name, "packer_") })
	// 1.8.2 has 148; far fewer would mean that the format of the generated source has changed.
	if len(options) < 140 {
		t.Fatalf("found %d options of amazon-ebs", len(options))
	}

	return options
}

func TestTheOptionsPageHasExactlyTheOptionsOfAmazonEBS(t *testing.T) {
	options, rows := peerOptions(t, readableSpecs(t)), rows(t)
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if rows[name] == "" {
			t.Errorf("%s has no row of %s", optionsPage, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if _, ok := options[name]; !ok {
			t.Errorf("%s has a row of %s, which amazon-ebs has not", optionsPage, name)
		}
	}
}

// This includes ignored options: for an option that the builder does not have, HCL prints "unsupported argument".
func TestEveryOptionOfAmazonEBSHasTheSameType(t *testing.T) {
	s := readableSpecs(t)
	theirs, ours := peerOptions(t, s), s.of(t, module+"/builder/userdata", "FlatConfig")
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		t.Run(name, func(t *testing.T) {
			mine, ok := ours[name]
			if !ok {
				t.Fatalf("bakery-userdata has no %s", name)
			}
			if diff := cmp.Diff(theirs[name], mine); diff != "" {
				t.Errorf("(-amazon-ebs +bakery-userdata):\n%s", diff)
			}
		})
	}
}

func TestTheWarningListsTheIgnoredOptionsOfThePage(t *testing.T) {
	options, dir := peerOptions(t, readableSpecs(t)), workspace(t)
	var want []string
	var settings strings.Builder
	for name, word := range rows(t) {
		if word == optionIgnored {
			want = append(want, name)
			settings.WriteString(setting(t, name, options[name]))
		}
	}
	write(t, filepath.Join(dir, "ignored.pkr.hcl"), complete(settings.String()), 0o644)
	result := packertest.Run(t, dir, packertest.Env(t), packertest.Built(t).Packer, "validate", "ignored.pkr.hcl")
	lists := regexp.MustCompile(`these settings have no effect: ([a-z0-9_, ]+)`).
		FindAllStringSubmatch(result.Output, -1)
	if result.Code != 0 || len(lists) == 0 {
		t.Fatalf("packer validate: exit code %d\n%s", result.Code, result.Output)
	}
	var got []string
	for _, list := range lists {
		got = append(got, strings.Split(list[1], ", ")...)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-%s +the warning):\n%s", optionsPage, diff)
	}
}

// setting returns a line that sets an option to a value of its type.
func setting(t *testing.T, name string, o option) string {
	t.Helper()

	if o.Kind != "AttrSpec" {
		inner := slices.Sorted(maps.Keys(o.Block))[0]
		return name + " {\n" + setting(t, inner, o.Block[inner]) + "}\n"
	}
	values := map[string]string{
		"cty.String": `"10s"`, "cty.Number": "1", "cty.Bool": "true", "cty.List(cty.String)": `["x"]`,
		"cty.List(cty.Number)": "[1]",
	}
	if values[o.Type] == "" {
		t.Fatalf("no value for %s, a %s", name, o.Type)
	}

	return name + " = " + values[o.Type] + "\n"
}
