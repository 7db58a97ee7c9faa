// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

func TestSecretThatReportCutsIsReplaced(t *testing.T) {
	addSecret("cut-in-its-middle")
	m := &machine{}
	long := strings.Repeat("x", 200)
	fresh := m.note([]guest.Report{
		{Seq: 1, Kind: guest.Warn, Text: long + " cut-in-its-mi"}, {Seq: 2, Kind: guest.Warn, Text: "short cut-in"},
	})
	if fresh[0].Text != long+" <sensitive>" || m.reports[0].Text != fresh[0].Text || fresh[1].Text != "short cut-in" {
		t.Errorf("the reports are %+v", fresh)
	}
}

func TestLinesWithOnlyBracesAreNoSecrets(t *testing.T) {
	c := &Config{}
	c.SensitiveValues = []string{"{\n  \"key\": \"k1\"\n}\n", "}x", " "}
	if got := c.secrets(); !slices.Equal(got, []string{`"key": "k1"`, "}x"}) {
		t.Errorf("the secrets are %q", got)
	}
}
