// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/packer-plugin-sdk/packer/registry/image"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/reuse"
)

func slowDigest(t *testing.T, text string) string {
	t.Helper()
	digest, err := reuse.SlowDigest([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// User data and fs/ may hold a short secret, which anybody who reads a plain digest of them finds by trying all.
func TestNothingThatOthersReadIsAPlainDigest(t *testing.T) {
	b, artifact, err := runBuild(t, func(b *testBuild) { b.setStaging() })
	if err != nil {
		t.Fatal(err)
	}
	p := &b.built.payload
	plain := []string{p.userDataSHA256, p.fs.SHA256, p.inputDigest()}
	var public []string
	for _, tags := range []map[string]string{
		awsfake.Tags(b.account.Requests["CreateImage"], "image"),
		awsfake.Tags(b.account.Requests["CreateImage"], "snapshot"),
		awsfake.Tags(b.account.Requests["RunInstances"], "instance"),
	} {
		public = append(public, slices.Collect(maps.Values(tags))...)
	}
	public = append(public, p.fs.key, artifact.String(), fmt.Sprint(artifact.State(image.ArtifactStateURI)))
	for _, sum := range plain {
		if len(sum) != 64 {
			t.Fatalf("%q is no digest", sum)
		}
		for _, text := range public {
			if strings.Contains(text, sum[:16]) {
				t.Errorf("%q holds the beginning of the plain digest %s", text, sum)
			}
		}
	}
}
