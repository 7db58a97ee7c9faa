// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"slices"
	"testing"
)

func TestLinesWithOnlyBracesAreNoSecrets(t *testing.T) {
	c := &Config{}
	c.SensitiveValues = []string{"{\n  \"key\": \"k1\"\n}\n", "}x", " "}
	if got := c.secrets(); !slices.Equal(got, []string{`"key": "k1"`, "}x"}) {
		t.Errorf("the secrets are %q", got)
	}
}
