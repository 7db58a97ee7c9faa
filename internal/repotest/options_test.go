// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const optionsPage = "docs/amazon-ebs-options.md"

// What the page says becomes of an option.
const (
	optionSame    = "same"    // means here what it means there
	optionMapped  = "mapped"  // has an effect, not quite the same one
	optionIgnored = "ignored" // is accepted, and a warning names it
	optionRefused = "refused" // is an error that says what to do
)

// optionRow is a row of the page: | `option` | word | note |.
var optionRow = regexp.MustCompile("(?m)^\\| `([A-Za-z0-9_]+)` \\| ([a-z]+) \\|(.*)\\|$")

// rows are what the page says of each option.
func rows(t *testing.T) map[string]string {
	t.Helper()

	rows := map[string]string{}
	for _, match := range optionRow.FindAllStringSubmatch(read(t, optionsPage), -1) {
		if rows[match[1]] != "" {
			t.Errorf("%s has two rows of %s", optionsPage, match[1])
		}
		if !slices.Contains([]string{optionSame, optionMapped, optionIgnored, optionRefused}, match[2]) {
			t.Errorf("%s says %q of %s", optionsPage, match[2], match[1])
		}
		if match[2] != optionSame && strings.TrimSpace(match[3]) == "" {
			t.Errorf("%s says that %s is %s, and not why or what happens instead", optionsPage, match[1], match[2])
		}
		rows[match[1]] = match[2]
	}

	return rows
}

// peerOptions are the options of the real amazon-ebs that a person can write.
func peerOptions(t *testing.T, s specs) map[string]option {
	t.Helper()

	options := s.of(t, "github.com/hashicorp/packer-plugin-amazon/builder/ebs", "FlatConfig")
	// What Packer hands to every builder.
	maps.DeleteFunc(options, func(name string, _ option) bool { return strings.HasPrefix(name, "packer_") })
	// 1.8.2 has 148; far fewer would mean that the generated source has another form now.
	if len(options) < 140 {
		t.Fatalf("found %d options of amazon-ebs", len(options))
	}

	return options
}

func TestEveryOptionOfAmazonEBSHasARowAndEveryRowAnOption(t *testing.T) {
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
