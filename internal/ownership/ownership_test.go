// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ownership

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

const (
	someBake  = "0123456789abcdef"
	otherBake = "00000000000000bb"
)

// tags returns the tags of a bake, with an id as that of the resource itself.
func tags(bakeID, self string) []types.Tag {
	all := []types.Tag{{Key: aws.String(bake.TagBake), Value: aws.String(bakeID)}}
	if self != "" {
		all = append(all, types.Tag{Key: aws.String(bake.TagSelf), Value: aws.String(self)})
	}
	return all
}

func TestLaunchedInstance(t *testing.T) {
	for name, c := range map[string]struct {
		token, spotRequest, bakeID, self string
		want                             bool
	}{
		"the bake's":                        {someBake, "", someBake, "i-1", true},
		"the bake's second":                 {someBake + "-2-0", "", someBake, "i-1", true},
		"one that was not tagged any more":  {someBake, "", someBake, "", true},
		"a Spot Instance":                   {"", "sir-1", someBake, "i-1", true},
		"a Spot Instance with its token":    {someBake, "sir-1", someBake, "", true},
		"a Spot Instance with copied tags":  {"", "sir-1", someBake, "i-2", false},
		"a Spot Instance without the proof": {"", "sir-1", someBake, "", false},
		"a Spot Instance of another token":  {"c0ffee00", "sir-1", someBake, "i-1", false},
		"one launched like the bake's":      {"c0ffee00-0000-4000-8000-000000000000", "", someBake, "i-2", false},
		"one with a forged tag":             {"c0ffee00-0000-4000-8000-000000000000", "", someBake, "i-1", false},
		"one launched without a token":      {"", "", someBake, "i-1", false},
		"one of an Auto Scaling group's":    {"fleet-" + someBake, "", someBake, "i-1", false},
		"one whose token begins with more":  {someBake + "0", "", someBake, "i-1", false},
		"one of another bake's":             {someBake, "", otherBake, "i-1", false},
		"one with the id of another":        {someBake, "", someBake, "i-2", false},
	} {
		i := &types.Instance{
			InstanceId: aws.String("i-1"), ClientToken: awscall.NonZeroPtr(c.token),
			SpotInstanceRequestId: awscall.NonZeroPtr(c.spotRequest), Tags: tags(c.bakeID, c.self),
		}
		if got := LaunchedInstance(someBake, i); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if LaunchedInstance("", &types.Instance{InstanceId: aws.String("i-1")}) {
		t.Error("an instance without tags counts")
	}
}

func TestMadeSnapshot(t *testing.T) {
	const of = "Created by CreateImage(i-0123456789abcdef0) for ami-1"
	for name, c := range map[string]struct {
		description, bakeID, self string
		want                      bool
	}{
		"of CreateImage":                    {of, someBake, "", true},
		"of an earlier CreateImage":         {of + " from vol-1", someBake, "", true},
		"of CopyImage":                      {"Copied for DestinationAmi ami-1 from ami-9", someBake, "", true},
		"of another image":                  {"Created by CreateImage(i-1) for ami-12", someBake, "", false},
		"of a copy of the image":            {"Copied for DestinationAmi ami-2 from ami-1", someBake, "", false},
		"of somebody who tells of it":       {"backup of Created by CreateImage(i-1) for ami-1", someBake, "", false},
		"with its own id":                   {"", someBake, "snap-1", true},
		"with the id of another":            {of, someBake, "snap-2", false},
		"of another bake":                   {of, otherBake, "snap-1", false},
		"that the template of it has named": {of, "", "", false},
	} {
		s := &types.Snapshot{
			SnapshotId: aws.String("snap-1"), Description: aws.String(c.description), Tags: tags(c.bakeID, c.self),
		}
		if got := MadeSnapshot(someBake, s, "ami-0", "ami-1"); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	nothing := &types.Snapshot{SnapshotId: aws.String("snap-1"), Tags: tags("", "")}
	if MadeSnapshot("", nothing, "") {
		t.Error("a snapshot of no bake counts")
	}
}

func TestMadeGroupAndImage(t *testing.T) {
	for name, c := range map[string]struct {
		group, self string
		want        bool
	}{
		"the bake's":      {"bakery-" + someBake, "id-1", true},
		"a copy":          {"bakery-" + someBake, "id-2", false},
		"not tagged":      {"bakery-" + someBake, "", false},
		"of another name": {"production", "id-1", false},
	} {
		g := &types.SecurityGroup{
			GroupId: aws.String("id-1"), GroupName: aws.String(c.group), Tags: tags(someBake, c.self),
		}
		if got := MadeGroup(someBake, g); got != c.want {
			t.Errorf("a group, %s: %v, want %v", name, got, c.want)
		}
		i := &types.Image{ImageId: aws.String("id-1"), Tags: tags(someBake, c.self)}
		if got := MadeImage(i); got != (c.self == "id-1") {
			t.Errorf("an image, %s: %v", name, got)
		}
	}
}

// TestTag: a bake goes on without the tag, with one warning however much it could not tag.
func TestTag(t *testing.T) {
	refused := &smithy.GenericAPIError{Code: "UnauthorizedOperation"}
	unknown := &smithy.GenericAPIError{Code: awscall.CodeInstanceNotFound}
	for name, c := range map[string]struct {
		errs     []error // of the first calls
		calls    int
		warnings int
	}{
		"tagged at once":         {nil, 2, 0},
		"not visible yet":        {[]error{unknown, unknown}, 4, 0},
		"without the right":      {[]error{refused, refused}, 2, 1},
		"when EC2 refuses it":    {[]error{&smithy.GenericAPIError{Code: "TagLimitExceeded"}}, 2, 1},
		"when it never is there": {slices.Repeat([]error{unknown}, 100), 32, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				said, calls := new(bytes.Buffer), 0
				b := &bake.Bake{UI: &packersdk.BasicUi{Writer: said, ErrorWriter: said}}
				api := &awscall.EC2{CreateTags: func(
					_ context.Context, in *ec2.CreateTagsInput, _ ...func(*ec2.Options),
				) (*ec2.CreateTagsOutput, error) {
					if tags := awscall.TagMap(in.Tags); len(in.Resources) != 1 || len(tags) != 1 ||
						tags[bake.TagSelf] != in.Resources[0] {
						t.Errorf("%v get %v", in.Resources, tags)
					}
					calls++
					if calls <= len(c.errs) {
						return nil, c.errs[calls-1]
					}
					return new(ec2.CreateTagsOutput), nil
				}}
				Tag(t.Context(), b, api, "i-1", "", "sir-1")
				if warnings := strings.Count(said.String(), "warning: "); calls < c.calls-2 || calls > c.calls ||
					warnings != c.warnings {
					t.Errorf("%d calls, %d warnings, want %d and %d: %s", calls, warnings, c.calls, c.warnings, said)
				}
			})
		})
	}
}
