// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// moved are all the changes that the migration of a template needs.
var moved = []struct{ before, after string }{
	{
		before: "    amazon = {\n      source  = \"github.com/hashicorp/amazon\"\n      version = \">= 1.8.2\"\n   " +
			" }\n",
		after: "    bakery = {\n      source  = \"github.com/amibakery/bakery\"\n      version = \">= 0.1.0\"\n    }\n",
	},
	{before: `source "amazon-ebs" `, after: `source "bakery-userdata" `},
	{
		before: "  }\n}\n\nbuild {",
		after:  "  }\n\n  staging {\n    url = \"s3://${var.bucket}/packer\"\n  }\n}\n\nbuild {",
	},
	{before: `"source.amazon-ebs.`, after: `"source.bakery-userdata.`},
}

func TestTheMigratedTemplateDiffersOnlyInPluginSourceTypeAndStaging(t *testing.T) {
	want := read(t, "example/migrate/before.pkr.hcl")
	for _, change := range moved {
		if strings.Count(want, change.before) != 1 {
			t.Fatalf("before.pkr.hcl has not exactly one\n%s", change.before)
		}
		want = strings.Replace(want, change.before, change.after, 1)
	}
	if diff := cmp.Diff(want, read(t, "example/migrate/after.pkr.hcl")); diff != "" {
		t.Errorf("after.pkr.hcl (-before.pkr.hcl moved over +itself):\n%s", diff)
	}
}
