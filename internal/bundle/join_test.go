// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseJoinReadsWhatRenderWrites(t *testing.T) {
	want := Join{Source: "/src/image", CompileEnv: map[string]string{"A": "1 'x'"}, Strict: true, FSInlineLimit: -1}
	got, err := ParseJoin(want.Render())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if o := got.Options("/target"); o.Source != want.Source || o.Target != "/target" || o.InlineLimit != -1 ||
		!o.Strict || o.Env["A"] != "1 'x'" {
		t.Errorf("the options are %+v", o)
	}
}

func TestParseJoinRefuses(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"no JSON":                              {"#!/bin/sh\n", "only the provisioner bakery-image-source"},
		"a setting it does not know":           {`{"source":"/a","later":1}`, "later"},
		"a source that depends on a directory": {`{"source":"image"}`, "absolute"},
	} {
		if _, err := ParseJoin([]byte(c.content)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
