// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package wildcard

import (
	"regexp"
	"strings"
	"testing"
)

func TestMatchEscaped(t *testing.T) {
	for _, c := range []struct {
		pattern, value string
		want           bool
	}{
		{"debian-*-amd64", "debian-12-amd64", true}, {"debian-1?-*", "debian-12-amd64", true},
		{"debian", "debian-12", false},
		{"*", "", true}, {"", "", true}, {"?", "", false}, {"a*b*c", "axxbyyc", true}, {"a*b*c", "axxbyy", false},
		{`a\*b`, "a*b", true}, {`a\*b`, "axb", false}, {`a\?`, "a?", true}, {"**a", "bba", true}, {`\\`, `\`, true},
	} {
		if got := MatchEscaped(c.pattern, c.value); got != c.want {
			t.Errorf("MatchEscaped(%q, %q) = %v", c.pattern, c.value, got)
		}
	}
}

// FuzzMatch tests that a pattern matches the same text as the equivalent regular expression, in time that is
// proportional to both lengths.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"ec2:Describe*", "ec2:DescribeImages"}, {"a*", "abc"}, {"*a*b", "xaxb"}, {"a?c", "abc"}, {`\*`, "*"},
		{`\`, `\`}, {"**", ""}, {strings.Repeat("*a", 30) + "b", strings.Repeat("a", 200)},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 200 || len(s) > 1000 {
			return
		}
		escaped := MatchEscaped(pattern, s)
		// In a regular expression, ? would be a rune.
		if strings.ContainsFunc(pattern+s, func(r rune) bool { return r > 0x7e }) {
			return
		}
		re := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`(?s)\A` + re + `\z`).MatchString(s)
		if Match(pattern, s) != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, s, !want, want)
		}
		if !strings.Contains(pattern, `\`) && escaped != want {
			t.Errorf("with escapes, %q matches %q: %v, want %v", pattern, s, escaped, want)
		}
	})
}
