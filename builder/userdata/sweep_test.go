// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

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
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	bakepkg "github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// tagDescriptions returns the tags of one resource as DescribeTags lists them.
func tagDescriptions(id string, tags ...string) (all []types.TagDescription) {
	for _, t := range tags {
		key, value, _ := strings.Cut(t, "=")
		all = append(all, types.TagDescription{
			ResourceId: aws.String(id), Key: aws.String(key), Value: aws.String(value),
		})
	}
	return all
}

func TestSweepSkipsResourcesWithCopiedTags(t *testing.T) {
	bake, source := bakepkg.TagBake+"="+awsfake.BakeID, bakepkg.TagSource+"="+awsfake.SourceImageID
	w := &swath{ids: map[types.ResourceType][]string{}, bakes: map[string]string{}}
	w.take(
		map[string]types.ResourceType{
			"vol-1": types.ResourceTypeVolume, "snap-ours": types.ResourceTypeSnapshot,
			"snap-backup": types.ResourceTypeSnapshot,
			"ami-ours":    types.ResourceTypeImage, "ami-backup": types.ResourceTypeImage,
			"sg-other": types.ResourceTypeSecurityGroup,
		},
		slices.Concat(
			tagDescriptions("vol-1", bake), tagDescriptions("snap-ours", bake, source),
			tagDescriptions("snap-backup", bake), tagDescriptions("ami-ours", source, bake),
			tagDescriptions("ami-backup", bake), tagDescriptions("sg-other", bakepkg.TagBake+"=not an id"),
			tagDescriptions("sg-unasked", bake),
		),
	)
	want := map[types.ResourceType][]string{
		types.ResourceTypeVolume: {"vol-1"}, types.ResourceTypeSnapshot: {"snap-ours"},
		types.ResourceTypeImage: {"ami-ours"},
	}
	if diff := cmp.Diff(want, w.ids); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for name, c := range map[string]struct {
		machine types.Instance
		want    bool
	}{
		"with the token of the bake":          {types.Instance{ClientToken: aws.String(awsfake.BakeID)}, true},
		"with the token of its second launch": {types.Instance{ClientToken: aws.String(awsfake.BakeID + "-2-0")}, true},
		"a Spot Instance":                     {types.Instance{SpotInstanceRequestId: aws.String("sir-1")}, true},
		"with another token": {
			types.Instance{ClientToken: aws.String("c0ffee00-0000-4000-8000-000000000000")}, false,
		},
		"without a token":          {types.Instance{}, false},
		"of an Auto Scaling group": {types.Instance{ClientToken: aws.String("fleet-" + awsfake.BakeID)}, false},
	} {
		c.machine.InstanceId = aws.String("i-1")
		w.bakes["i-1"] = awsfake.BakeID
		if got := w.launched(&c.machine); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// busyGroup is an EC2 whose security group is in use for the first attempts to delete it.
type busyGroup struct {
	sweepAPI

	busy, tries int
}

func (g *busyGroup) DeleteSecurityGroup(
	context.Context, *ec2.DeleteSecurityGroupInput, ...func(*ec2.Options),
) (*ec2.DeleteSecurityGroupOutput, error) {
	g.tries++
	if g.tries <= g.busy {
		return nil, &smithy.GenericAPIError{Code: awscall.CodeGroupInUse}
	}
	return new(ec2.DeleteSecurityGroupOutput), nil
}

// A group is in use for a moment after its machine is terminated. It is in use for ever when somebody has launched
// another machine with it.
func TestSweepRetriesOnlyGroupOfInstanceItTerminated(t *testing.T) {
	for name, c := range map[string]struct {
		ended string // whose machine the sweep has just terminated
		tries int
	}{
		"of an instance just terminated": {awsfake.BakeID, 3},
		"of another instance":            {"", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &busyGroup{busy: 2}
				w := &swath{
					sweeping: &sweeping{bake: &bake{ui: &packersdk.BasicUi{Writer: io.Discard}}}, api: api,
					ids:   map[types.ResourceType][]string{types.ResourceTypeSecurityGroup: {"sg-1"}},
					bakes: map[string]string{"sg-1": awsfake.BakeID}, ended: map[string]bool{c.ended: true},
				}
				if err := w.sweepGroups(t.Context()); api.tries != c.tries || (err != nil) != (c.tries == 1) {
					t.Errorf("%d attempts, and %v", api.tries, err)
				}
			})
		})
	}
}

func TestSweepRespectsLimitOfFilterValues(t *testing.T) {
	w := &swath{ids: map[types.ResourceType][]string{}, bakes: map[string]string{}}
	kinds := map[string]types.ResourceType{}
	var tags []types.TagDescription
	for n := range mostValues + 1 {
		id := fmt.Sprintf("i-%d", n)
		kinds[id] = types.ResourceTypeInstance
		tags = append(tags, tagDescriptions(id, bakepkg.TagBake+"="+awsfake.BakeID)...)
	}
	w.take(kinds, tags)
	if got := len(w.ids[types.ResourceTypeInstance]); got != mostValues {
		t.Errorf("one filter has %d instances", got)
	}
}

func TestSweepNamesMissingPermissionOnce(t *testing.T) {
	denied := &smithy.OperationError{
		ServiceID: "EC2", OperationName: "DescribeTags", Err: &smithy.GenericAPIError{Code: "UnauthorizedOperation"},
	}
	s := &sweeping{errs: []error{denied, fmt.Errorf("elsewhere: %w", denied)}}
	got := s.complaint()
	if strings.Count(got, "ec2:DescribeTags") != 1 || !strings.Contains(got, "docs/iam/sweep.json") {
		t.Error(got)
	}
}

// noTime is an EC2 whose answers do not say the time.
type noTime struct{ sweepAPI }

func (noTime) DescribeTags(
	context.Context, *ec2.DescribeTagsInput, ...func(*ec2.Options),
) (*ec2.DescribeTagsOutput, error) {
	return &ec2.DescribeTagsOutput{Tags: tagDescriptions("i-1", bakepkg.TagExpires+"=1999-01-01T00:00:00Z")}, nil
}

func TestSweepRemovesNothingWithoutTimeOfAWS(t *testing.T) {
	w := &swath{
		sweeping: &sweeping{bake: new(bake)}, api: noTime{}, ids: map[types.ResourceType][]string{},
		bakes: map[string]string{},
	}
	if err := w.find(t.Context()); err != nil || len(w.ids) > 0 {
		t.Errorf("%v, to be removed: %v", err, w.ids)
	}
}
