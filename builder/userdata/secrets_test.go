// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

func TestSecretsAreBlottedWhateverTheyLookLike(t *testing.T) {
	hide("swordfish-test", "swordfish-test-and-more", "swordfish-test-and-more-of-it", "p\u00e4ss\u200bwort")
	for name, c := range map[string][2]string{
		"one that begins with another":     {"a swordfish-test-and-more-of-it b", "a <sensitive> b"},
		"the other":                        {"a swordfish-test.", "a <sensitive>."},
		"one that is not to be seen whole": {`p` + "\u00e4" + `ss\u200bwort`, "<sensitive>"},
		"one in a report":                  {"p??ss???wort", "<sensitive>"},
	} {
		if got := blot(c[0]); got != c[1] {
			t.Errorf("%s: %q became %q", name, c[0], got)
		}
	}
}

func TestASecretThatAReportCutsIsBlotted(t *testing.T) {
	hide("cut-in-its-middle")
	m := &machine{}
	long := strings.Repeat("x", 200)
	fresh := m.note([]guest.Report{
		{Seq: 1, Kind: guest.Warn, Text: long + " cut-in-its-mi"}, {Seq: 2, Kind: guest.Warn, Text: "short cut-in"},
	})
	if fresh[0].Text != long+" <sensitive>" || m.reports[0].Text != fresh[0].Text || fresh[1].Text != "short cut-in" {
		t.Errorf("noted is %+v", fresh)
	}
}

func TestAValueOfSeveralLinesHidesNoBraces(t *testing.T) {
	c := &Config{}
	c.SensitiveValues = []string{"{\n  \"key\": \"k1\"\n}\n", "}x", " "}
	if got := c.secrets(); !slices.Equal(got, []string{`"key": "k1"`, "}x"}) {
		t.Errorf("the secrets are %q", got)
	}
}
