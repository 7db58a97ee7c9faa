// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// sdkNoise matches words of the SDK that mean nothing to users.
var sdkNoise = regexp.MustCompile(
	`operation error|exceeded maximum number of attempts|https response error|api error|StatusCode|%!`)

// check lists what is wrong with the end of a bake.
func (s *scenario) check(e expected, r *bakeResult) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if (r.err == nil) != e.succeeds {
		say("the bake should succeed: %t", e.succeeds)
	}
	words := r.printed
	if r.err != nil {
		words = r.err.Error()
	}
	for _, want := range e.says {
		if !strings.Contains(words, want) {
			say("it does not say %q", want)
		}
	}
	if randomFile := sdkNoise.FindString(words + r.printed); randomFile != "" {
		say("it says %q", randomFile)
	}
	if s.sweeps { // what it found stays when it has failed, and nothing else
		if left := r.there.others; r.err == nil && len(left)+len(r.there.images) > 0 {
			say("left behind: %v, %v", left, r.there.images)
		}
		return wrong
	}
	if r.there.machines > 1 {
		say("%d machines were launched", r.there.machines)
	}
	for _, what := range r.there.others {
		named := strings.Contains(r.printed+words, what) ||
			strings.HasPrefix(what, "snap-") && strings.Contains(r.printed+words, "look for the snapshots of bake") ||
			strings.HasPrefix(what, "quick/") && strings.Contains(r.printed, "removes old versions below") ||
			strings.HasPrefix(what, "vol-") && strings.Contains(r.printed+words, "they have the tag bakery:bake-id of")
		// The snapshots of an image that is gone are the last of it, and stay when its place was not taken.
		if may := e.leaves || r.err != nil && slices.Contains(r.old, what); !may || !named {
			say("left behind, named: %t: %s", named, what)
		}
	}
	return append(wrong, s.checkImages(e, r, words)...)
}

// checkImages compares the images with those there should be.
func (s *scenario) checkImages(e expected, r *bakeResult, words string) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	var want []string
	if r.err == nil || len(r.gone) > 0 { // when the old image is gone, a new one must exist
		want = s.images
	}
	_, kept, _ := strings.Cut(words, "kept, because")
	var got []string
	for _, id := range slices.Sorted(maps.Keys(r.there.images)) {
		i := r.there.images[id]
		complete := i.state == "available" && i.name == "quick" && r.err == nil && r.artifact != nil &&
			strings.Contains(r.artifact.Id(), i.region+":"+id)
		survivor := i.state == "available" && r.err != nil && len(r.gone) > 0 && strings.Contains(kept, id)
		switch {
		case complete || survivor:
			got = append(got, i.region)
		case !e.leaves || !strings.Contains(afterwards(r), id):
			say("left behind, image %s %q in %s, %s", id, i.name, i.region, i.state)
		}
	}
	slices.Sort(got)
	if wanted := slices.Sorted(slices.Values(want)); !slices.Equal(wanted, got) {
		say("there should be images in %v, there are in %v", wanted, got)
	}
	if len(r.gone) > 0 && !s.replaces {
		say("images of another bake are gone: %v", r.gone)
	}
	if r.err == nil && s.replaces && len(r.gone) != 1 {
		say("the old image is still there")
	}
	return wrong
}

// afterwards returns what the bake printed from its cleaning up on.
func afterwards(r *bakeResult) string {
	_, text, _ := strings.Cut(r.printed, cleaning)
	return text
}

// covers checks that the scenarios call every action of the builder, so that each is broken.
func (m *matrix) covers(t *testing.T, called [][]brokenCall) {
	t.Helper()
	there := map[string]bool{}
	for _, c := range slices.Concat(called...) {
		there[c.action] = true
	}
	for _, action := range actionsOfPlugin(t) {
		if !there[action] {
			t.Errorf("no scenario calls %s", action)
		}
	}
}

// boundCall matches a call of AWS that internal/awscall binds: a field of the structs EC2 and IAM, and of SSM and STS.
var boundCall = regexp.MustCompile(`(?m)^\t([A-Z]\w+) +(?:ec2Call\[|iamCall\[|func\()`)

// actionsOfPlugin are the actions that internal/awscall binds, and those of S3 that staging calls.
func actionsOfPlugin(t *testing.T) []string {
	t.Helper()
	actions := []string{
		"HeadBucket", "HeadObject", "PutObject", "GetObject", "DeleteObject", "ListObjectsV2", "ListMultipartUploads",
		"ListObjectVersions", "DeleteObjects", "GetObjectLockConfiguration",
		// of the transfer manager
		"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload",
	}
	for _, file := range []string{"ec2.go", "iam.go", "clients.go"} {
		text, err := os.ReadFile(filepath.Join(packertest.Root(), "internal", "awscall", file))
		if err != nil {
			t.Fatal(err)
		}
		found := boundCall.FindAllSubmatch(text, -1)
		if len(found) == 0 {
			t.Fatalf("internal/awscall/%s binds no call", file)
		}
		for _, match := range found {
			actions = append(actions, string(match[1]))
		}
	}
	return actions
}
