// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package ami finds, makes, copies, changes, lists and removes images (AMIs), and has their settings.
//
// The free functions need a region's calls of EC2 and nothing else. A Maker makes the images of one bake. The package
// knows images and their snapshots. It may not know how the instance came to be that an image is made of, nor what
// runs on it, nor Packer's steps.
package ami

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// Settings is what a template says about the image. Check has been called on all of it.
type Settings struct {
	Image      *ImageConfig
	Copy       *CopyConfig
	Sharing    *SharingConfig
	Attributes *AttributesConfig
}

// Spec is what every image of a bake gets, whatever it is made of.
type Spec struct {
	Name, Description       string
	ImageTags, SnapshotTags map[string]string
}

// tags returns the tags in the form of the calls that make an image and its snapshots.
func (s *Spec) tags() []types.TagSpecification {
	return []types.TagSpecification{
		awscall.TagSpec(types.ResourceTypeImage, s.ImageTags),
		awscall.TagSpec(types.ResourceTypeSnapshot, s.SnapshotTags),
	}
}

// Maker makes the images of one bake, in every region that the settings want. Its methods are called in this order:
// CheckNames, CheckSource, Create, CopyAll, ApplyAttributes, Replace, Protect, Complete, Release. For images of an
// earlier bake it is CheckNames, CheckSource, UseExisting, ApplyAttributes, Protect, Release.
//
// What the Maker makes is in the bake's ledger until Release, so undoing the ledger removes it.
type Maker struct {
	bake     *bake.Bake
	settings Settings
	spec     func(name string) (Spec, error)
	home     *RegionTarget   // the region of the build, wanted or not
	targets  []*RegionTarget // the regions that are to have the image, that of the build first
	existing bool            // the images were made by an earlier bake
	released bool            // Release was called: the images stay
}

// NewMaker returns the Maker of a bake. spec returns what an image of a name gets; it is called when the source image
// is known.
func NewMaker(b *bake.Bake, clients awscall.Clients, s Settings, spec func(name string) (Spec, error)) *Maker {
	return newMaker(b, clients.Region(), clients.EC2In, s, spec)
}

func newMaker(
	b *bake.Bake, region string, ec2In func(region string) *awscall.EC2,
	s Settings, spec func(name string) (Spec, error),
) *Maker {
	m := &Maker{bake: b, settings: s, spec: spec, home: &RegionTarget{Region: region, EC2: ec2In(region)}}
	if !s.Copy.SkipSaveBuildRegion {
		m.targets = append(m.targets, m.home)
	}
	for _, other := range s.Copy.OtherRegions(region) {
		m.targets = append(m.targets, &RegionTarget{Region: other, EC2: ec2In(other)})
	}
	return m
}

// Home returns the region of the build. It has no image with skip_save_build_region.
func (m *Maker) Home() *RegionTarget { return m.home }

// Regions returns the regions that are to have the image, that of the build first.
func (m *Maker) Regions() []*RegionTarget { return m.targets }

// ImageName returns the name of the image. That of an earlier bake may have another name than this bake's would have.
func (m *Maker) ImageName() string {
	if m.existing {
		return aws.ToString(m.targets[0].Image.Name)
	}
	return m.settings.Image.AMIName
}

// UseExisting makes images of an earlier bake the result, one for each of Regions in its order. They get attributes and
// protection, but are never removed.
func (m *Maker) UseExisting(images []types.Image) {
	m.existing = true
	for i := range images {
		m.targets[i].Image = images[i]
	}
}

// IsExisting reports whether the images were made by an earlier bake.
func (m *Maker) IsExisting() bool { return m.existing }

// IsReleased reports whether the images are complete and stay, whatever becomes of the bake.
func (m *Maker) IsReleased() bool { return m.released }
