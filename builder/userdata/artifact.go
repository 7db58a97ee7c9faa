// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	registryimage "github.com/hashicorp/packer-plugin-sdk/packer/registry/image"

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// Artifact is the images of a bake that succeeded, one in each region.
type Artifact struct {
	images map[string]string // ids by region
	source string            // the id of the source image
	labels map[string]string // for the HCP Packer registry
	data   map[string]any    // build data, for post-processors
	remove func(ctx context.Context, region, id string) error
	reused bool // they were there before
}

var _ packersdk.Artifact = (*Artifact)(nil)

func newArtifact(b *build, state multistep.StateBag) *Artifact {
	images := map[string]string{}
	for _, target := range b.images.Regions() {
		images[target.Region] = target.ImageID()
	}
	clients := b.account.clients
	return &Artifact{
		images: images,
		source: aws.ToString(b.account.source.ImageId),
		reused: b.isReused(),
		labels: artifactLabels(b),
		data:   map[string]any{"generated_data": state.Get("generated_data")},
		remove: func(ctx context.Context, region, id string) error {
			if err := ami.Remove(ctx, clients.EC2In(region), id, b.config.OwnSnapshots); err != nil {
				return fmt.Errorf("remove the image in %s: %w", region, err)
			}
			return nil
		},
	}
}

// artifactLabels are what a registry keeps beside the id of an image.
func artifactLabels(b *build) map[string]string {
	bakedAs := b.ID
	if b.isReused() {
		bakedAs = awscall.TagMap(b.images.Regions()[0].Image.Tags)[bake.TagBake]
	}
	labels := map[string]string{}
	for key, value := range map[string]string{
		"bake_id": bakedAs, "name": b.images.ImageName(), "version": imageVersion(b),
		"source_ami_name": aws.ToString(b.account.source.Name),
		"inputs":          b.inputs.Digest(),
	} {
		if value != "" {
			labels[key] = value
		}
	}
	return labels
}

// BuilderId is how post-processors know whose artifact this is.
func (*Artifact) BuilderId() string { return BuilderID } //nolint:revive,staticcheck // the interface's name

// Files are none: the image is in the account.
func (*Artifact) Files() []string { return nil }

// Id is region:ami-0123 of every image, sorted and joined by commas, as amazon-ebs' is.
func (a *Artifact) Id() string { //nolint:revive,staticcheck // the interface's name
	var parts []string
	for _, region := range slices.Sorted(maps.Keys(a.images)) {
		parts = append(parts, region+":"+a.images[region])
	}
	return strings.Join(parts, ",")
}

// String is what Packer prints at the end.
func (a *Artifact) String() string {
	var s strings.Builder
	s.WriteString("AMIs were created:")
	if a.reused {
		s.Reset()
		s.WriteString("AMIs were there already, unchanged:")
	}
	for _, region := range slices.Sorted(maps.Keys(a.images)) {
		fmt.Fprintf(&s, "\n%s: %s", region, a.images[region])
	}
	s.WriteString("\n")
	return s.String()
}

// State gives the metadata for the HCP Packer registry, and the build data.
func (a *Artifact) State(name string) any {
	if name == registryimage.ArtifactStateURI {
		return a.registryImages()
	}
	return a.data[name]
}

func (a *Artifact) registryImages() []*registryimage.Image {
	var images []*registryimage.Image
	for _, region := range slices.Sorted(maps.Keys(a.images)) {
		images = append(images, &registryimage.Image{
			ImageID: a.images[region], ProviderName: "aws", ProviderRegion: region,
			SourceImageID: a.source, Labels: a.labels,
		})
	}
	return images
}

// destroyTimeout is for deregistering and deleting snapshots, which take seconds.
const destroyTimeout = 5 * time.Minute

// Destroy deregisters the images and deletes their snapshots. Packer calls it when a post-processor does not keep its
// input. Images that were there before the build stay: others may use them.
func (a *Artifact) Destroy() error {
	if a.reused {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), destroyTimeout)
	defer cancel()
	var errs []error
	for _, region := range slices.Sorted(maps.Keys(a.images)) {
		errs = append(errs, a.remove(ctx, region, a.images[region]))
	}
	return errors.Join(errs...)
}
