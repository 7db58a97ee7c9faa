// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
)

func TestTagSpecIsSortedAndComesBackAsMap(t *testing.T) {
	tags := map[string]string{"b": "2", "a": "1", "c": ""}
	spec := TagSpec(types.ResourceTypeImage, tags)
	var keys []string
	for _, tag := range spec.Tags {
		keys = append(keys, aws.ToString(tag.Key))
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, keys); diff != "" || spec.ResourceType != types.ResourceTypeImage {
		t.Errorf("tags of %s (-want +got):\n%s", spec.ResourceType, diff)
	}
	if diff := cmp.Diff(tags, TagMap(spec.Tags)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if TagMap(nil) == nil {
		t.Error("without tags there is no map, and callers write to it")
	}
}

func TestNonZeroPtr(t *testing.T) {
	if NonZeroPtr("") != nil || NonZeroPtr(int32(0)) != nil || NonZeroPtr(false) != nil {
		t.Error("a zero value has a pointer")
	}
	if got := NonZeroPtr("x"); got == nil || *got != "x" {
		t.Errorf("the pointer to x is %v", got)
	}
}
