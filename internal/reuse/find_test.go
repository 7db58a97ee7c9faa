// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package reuse

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// target returns a region with images of the account. It filters them by the inputs as EC2 does; names are up to the
// caller.
func target(region string, images ...*types.Image) *ami.RegionTarget {
	return &ami.RegionTarget{Region: region, EC2: &awscall.EC2{DescribeImages: func(
		_ context.Context, in *ec2.DescribeImagesInput, _ ...func(*ec2.Options),
	) (*ec2.DescribeImagesOutput, error) {
		out := new(ec2.DescribeImagesOutput)
		for _, i := range images {
			f := in.Filters[1]
			if *f.Name == "tag-key" || slices.Contains(f.Values, awscall.TagMap(i.Tags)[bake.TagInputs]) {
				out.Images = append(out.Images, *i)
			}
		}
		return out, nil
	}}}
}

// earlier returns an available image that a bake has made of inputs.
func earlier(in *Inputs, id, bakeID, created string) *types.Image {
	i := imageOf(in)
	i.ImageId, i.Name, i.CreationDate = aws.String(id), aws.String("app-2026-11-21"), aws.String(created)
	i.State = types.ImageStateAvailable
	i.Tags = append(i.Tags, types.Tag{Key: aws.String(bake.TagBake), Value: aws.String(bakeID)},
		types.Tag{Key: aws.String(bake.TagSelf), Value: aws.String(id)})
	return i
}

// change returns an image after a change.
func change(i *types.Image, do func(*types.Image)) *types.Image {
	do(i)
	return i
}

func TestFindUnchanged(t *testing.T) {
	in := &Inputs{Name: "app-*", Source: "ami-1"}
	other := &Inputs{Name: "app-*", Source: "ami-2"}
	expires := types.Tag{Key: aws.String(bake.TagExpires), Value: aws.String("2027")}
	pending := func(i *types.Image) { i.State = types.ImageStatePending }
	expiring := func(i *types.Image) { i.Tags = append(i.Tags, expires) }
	renamedID := func(i *types.Image) { i.ImageId = aws.String("ami-copy") }
	renamed := func(i *types.Image) { i.Name = aws.String("app-x") }
	for name, c := range map[string]struct {
		home, away []*types.Image
		want       []string
		why        string
	}{
		"the newest images of one bake": {
			home: []*types.Image{earlier(in, "ami-h1", "b1", "2025"), earlier(in, "ami-h2", "b2", "2026")},
			away: []*types.Image{earlier(in, "ami-a2", "b2", "2026"), earlier(in, "ami-a1", "b1", "2025")},
			want: []string{"ami-h2", "ami-a2"},
		},
		"older images when the newest are not in every region": {
			home: []*types.Image{earlier(in, "ami-h1", "b1", "2025"), earlier(in, "ami-h2", "b2", "2026")},
			away: []*types.Image{earlier(in, "ami-a1", "b1", "2025")},
			want: []string{"ami-h1", "ami-a1"},
		},
		"none": {},
		"none of other inputs": {
			home: []*types.Image{earlier(other, "ami-h1", "b1", "2025")},
			away: []*types.Image{earlier(other, "ami-a1", "b1", "2025")},
		},
		"none that is not in every region": {
			home: []*types.Image{earlier(in, "ami-h1", "b1", "2025"), earlier(in, "ami-h2", "b2", "2026")},
			why:  "ami-h2 (app-2026-11-21) is the same, but is not in away",
		},
		"none that is not available": {
			home: []*types.Image{earlier(in, "ami-h1", "b1", "2025")},
			away: []*types.Image{change(earlier(in, "ami-a1", "b1", "2025"), pending)},
			why:  "ami-a1 (app-2026-11-21) in away is the same, but is pending",
		},
		"none that expires": {
			home: []*types.Image{change(earlier(in, "ami-h1", "b1", "2025"), expiring)},
			away: []*types.Image{earlier(in, "ami-a1", "b1", "2025")},
		},
		"none that is a copy with the tags": {
			home: []*types.Image{change(earlier(in, "ami-h1", "b1", "2025"), renamedID)},
			away: []*types.Image{earlier(in, "ami-a1", "b1", "2025")},
		},
		"none of another name": {
			home: []*types.Image{change(earlier(in, "ami-h1", "b1", "2025"), renamed)},
			away: []*types.Image{earlier(in, "ami-a1", "b1", "2025")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			regions := []*ami.RegionTarget{target("home", c.home...), target("away", c.away...)}
			images, why, err := FindUnchanged(t.Context(), regions, in)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for i := range images {
				ids = append(ids, *images[i].ImageId)
			}
			if !slices.Equal(ids, c.want) || why != c.why {
				t.Errorf("images %q, want %q; why %q, want %q", ids, c.want, why, c.why)
			}
		})
	}
}

func TestWhatChanged(t *testing.T) {
	in := &Inputs{Name: "app-*", Source: "ami-2"}
	for want, images := range map[string][]*types.Image{
		`Baking, because there is no earlier image named "app-*" in home that says what it was made of`: nil,
		"Baking, because something has changed since ami-h2 (app-2026-11-21): source_ami (ami-1 -> ami-2)": {
			earlier(in, "ami-h1", "b1", "2025"),
			earlier(&Inputs{Name: "app-*", Source: "ami-1"}, "ami-h2", "b2", "2026"),
		},
		"Baking, because something has changed since ami-h1 (app-2026-11-21): what is recorded of its inputs": {
			earlier(in, "ami-h1", "b1", "2025"),
		},
	} {
		got, err := WhatChanged(t.Context(), target("home", images...), in)
		if err != nil || got != want {
			t.Errorf("error %v\ngot  %s\nwant %s", err, got, want)
		}
	}
}

func TestALookUpThatFailsNamesTheRegion(t *testing.T) {
	failing := &ami.RegionTarget{Region: "home", EC2: &awscall.EC2{DescribeImages: func(
		context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options),
	) (*ec2.DescribeImagesOutput, error) {
		return nil, errors.New("the test says so")
	}}}
	const want = "reuse_unchanged: look for earlier images in home: the test says so"
	if _, _, err := FindUnchanged(t.Context(), []*ami.RegionTarget{failing}, new(Inputs)); err == nil ||
		err.Error() != want {
		t.Errorf("the error is %v", err)
	}
	if _, err := WhatChanged(t.Context(), failing, new(Inputs)); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v", err)
	}
}

func TestAnImageThatNobodyShouldUseIsNotReturned(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for want, image := range map[string]types.Image{
		"":        {State: types.ImageStateAvailable, DeprecationTime: aws.String("2026-11-21T00:01:00.000Z")},
		"pending": {State: types.ImageStatePending},
		"failed":  {State: types.ImageStateFailed},
		"deprecated since 2026-11-20T23:59:00.000Z": {
			State: types.ImageStateAvailable, DeprecationTime: aws.String("2026-11-20T23:59:00.000Z"),
		},
	} {
		if got := unusable(&image, now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
