// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// tagsOf returns the tags of one resource as DescribeTags lists them.
func tagsOf(id string, tags ...string) (all []types.TagDescription) {
	for _, t := range tags {
		key, value, _ := strings.Cut(t, "=")
		all = append(all, types.TagDescription{
			ResourceId: aws.String(id), Key: aws.String(key), Value: aws.String(value),
		})
	}
	return all
}

func nothingExpired() expired {
	return expired{ids: map[types.ResourceType][]string{}, tags: map[string]map[string]string{}}
}

func TestSweepLeavesBackupsOfDisks(t *testing.T) {
	bakeTag, sourceTag := bake.TagBake+"="+someBake, bake.TagSource+"=ami-source"
	found := nothingExpired()
	found.add(
		map[string]types.ResourceType{
			"vol-1": types.ResourceTypeVolume, "sg-other": types.ResourceTypeSecurityGroup,
			"snap-ours": types.ResourceTypeSnapshot, "snap-backup": types.ResourceTypeSnapshot,
			"ami-ours": types.ResourceTypeImage, "ami-backup": types.ResourceTypeImage,
		},
		slices.Concat(tagsOf("vol-1", bakeTag), tagsOf("snap-ours", bakeTag, sourceTag), tagsOf("snap-backup", bakeTag),
			tagsOf("ami-ours", sourceTag, bakeTag), tagsOf("ami-backup", bakeTag),
			tagsOf("sg-other", bake.TagBake+"=not an id"), tagsOf("sg-unasked", bakeTag)),
	)
	want := map[types.ResourceType][]string{
		types.ResourceTypeVolume:   {"vol-1"},
		types.ResourceTypeSnapshot: {"snap-ours"},
		types.ResourceTypeImage:    {"ami-ours"},
	}
	if diff := cmp.Diff(want, found.ids); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// ownGroup answers with the group of a bake.
func ownGroup(
	context.Context, *ec2.DescribeSecurityGroupsInput, ...func(*ec2.Options),
) (*ec2.DescribeSecurityGroupsOutput, error) {
	return &ec2.DescribeSecurityGroupsOutput{SecurityGroups: []types.SecurityGroup{{
		GroupId: aws.String("sg-1"), GroupName: aws.String("bakery-" + someBake), Tags: []types.Tag{
			{Key: aws.String(bake.TagBake), Value: aws.String(someBake)},
			{Key: aws.String(bake.TagSelf), Value: aws.String("sg-1")},
		},
	}}}, nil
}

// TestSweepWaitsForNoGroupOfSomebodyElse: a group is in use for a moment after its machine is gone, and for ever when
// somebody has put another machine into it.
func TestSweepWaitsForNoGroupOfSomebodyElse(t *testing.T) {
	for name, c := range map[string]struct {
		terminated string // the bake whose machine the sweep has just terminated
		tries      int
	}{
		"its machine has just gone": {someBake, 3},
		"its machine is long gone":  {"", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				w := &regionSweep{
					Sweeper: &Sweeper{Bake: &bake.Bake{UI: &packersdk.BasicUi{Writer: io.Discard}}},
					result:  new(Result),
					api: &awscall.EC2{DescribeSecurityGroups: ownGroup, DeleteSecurityGroup: func(
						context.Context, *ec2.DeleteSecurityGroupInput, ...func(*ec2.Options),
					) (*ec2.DeleteSecurityGroupOutput, error) {
						if tries++; tries <= 2 {
							return nil, &smithy.GenericAPIError{Code: awscall.CodeGroupInUse}
						}
						return new(ec2.DeleteSecurityGroupOutput), nil
					}},
					expired: expired{
						ids:  map[types.ResourceType][]string{types.ResourceTypeSecurityGroup: {"sg-1"}},
						tags: map[string]map[string]string{"sg-1": {bake.TagBake: someBake, bake.TagSelf: "sg-1"}},
					},
				}
				machine := types.Instance{Tags: []types.Tag{{Key: aws.String(bake.TagBake), Value: &c.terminated}}}
				err := w.deleteGroups(t.Context(), []types.Instance{machine})
				if tries != c.tries || (err != nil) != (c.tries == 1) {
					t.Errorf("%d tries, and %v", tries, err)
				}
			})
		})
	}
}

func TestSweepAsksForNoMoreThanAFilterAccepts(t *testing.T) {
	found := nothingExpired()
	kinds := map[string]types.ResourceType{}
	var tags []types.TagDescription
	for n := range mostFilterValues + 1 {
		id := fmt.Sprintf("i-%d", n)
		kinds[id] = types.ResourceTypeInstance
		tags = append(tags, tagsOf(id, bake.TagBake+"="+someBake)...)
	}
	found.add(kinds, tags)
	w := &regionSweep{expired: found}
	var asked []int
	err := w.describe(t.Context(), types.ResourceTypeInstance, "instance-id",
		func(_ context.Context, f types.Filter) error {
			asked = append(asked, len(f.Values))
			return nil
		})
	if err != nil || !slices.Equal(asked, []int{mostFilterValues, 1}) {
		t.Errorf("error %v, machines that are asked for at once: %v", err, asked)
	}
}

func TestSweepRemovesNothingBeforeAWSHasSaidTheTime(t *testing.T) {
	api := &awscall.EC2{DescribeTags: func( // without the time of the answer
		context.Context, *ec2.DescribeTagsInput, ...func(*ec2.Options),
	) (*ec2.DescribeTagsOutput, error) {
		return &ec2.DescribeTagsOutput{Tags: tagsOf("i-1", bake.TagExpires+"=1999-01-01T00:00:00Z")}, nil
	}}
	s := &Sweeper{Bake: new(bake.Bake)}
	if found, err := s.findExpired(t.Context(), api, "us-east-1"); err != nil || len(found.ids) > 0 {
		t.Errorf("%v, to be removed: %v", err, found.ids)
	}
}
