// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// TemplateFuncs are the functions of `{{ }}` in settings, beside Packer's own.
var TemplateFuncs = template.FuncMap{"clean_resource_name": cleanResourceName}

// cleanResourceName returns a name that CreateImage accepts. It replaces each byte of the characters that are not
// allowed with a hyphen, as amazon-ebs does.
func cleanResourceName(s string) string {
	return notInImageName.ReplaceAllStringFunc(s, func(c string) string { return strings.Repeat("-", len(c)) })
}

// The characters that CreateImage accepts in a name, and all others:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html.
var (
	imageName      = regexp.MustCompile(`^[a-zA-Z0-9()\[\] ./\-'@_]*$`)
	notInImageName = regexp.MustCompile(`[^a-zA-Z0-9()\[\] ./\-'@_]`)
)

// The purposes of images under a temporary name.
const (
	purposeCopy     = "intermediary" // the wanted images are copied from it
	purposeRegister = "raw"          // another image is registered from its snapshots
	purposeReplace  = "new"          // it waits until an old image is deregistered
)

// temporaryName returns a name that no other image has, and that says whose image it is.
func (m *Maker) temporaryName(purpose string) string {
	const longest = 128 // CreateImage's limit
	suffix := fmt.Sprintf(" (%s %s)", purpose, m.bake.ID)
	name := m.settings.Image.AMIName
	return name[:min(len(name), longest-len(suffix))] + suffix
}

// initialName returns the name under which a region's image is made: a temporary one when it replaces an old image.
func (m *Maker) initialName(t *RegionTarget) string {
	if len(t.old) > 0 {
		return m.temporaryName(purposeReplace)
	}
	return m.settings.Image.AMIName
}

// CheckNames checks that the image can have its name in every region. Otherwise CreateImage and CopyImage would be
// the first to find a taken name. With mayReuse, a name may be taken by an image that reuse_unchanged may return.
func (m *Maker) CheckNames(ctx context.Context, mayReuse bool) error {
	if m.settings.Image.SkipCreateAMI {
		return nil
	}
	if err := m.checkRegions(ctx); err != nil {
		return err
	}
	if len(m.targets) == 0 {
		return fmt.Errorf("skip_save_build_region keeps no image in %s, and ami_regions names no other region",
			m.home.Region)
	}
	var errs []error
	for _, t := range m.targets {
		errs = append(errs, m.checkName(ctx, t, mayReuse))
	}
	return errors.Join(errs...)
}

func (m *Maker) checkName(ctx context.Context, t *RegionTarget, mayReuse bool) error {
	c := m.settings.Image
	taken, err := m.imagesWithName(ctx, t)
	if err == nil {
		t.seen = []string{}
	}
	for i := range taken {
		t.seen = append(t.seen, aws.ToString(taken[i].ImageId))
	}
	if err != nil || len(taken) == 0 {
		return err
	}
	id, tags := aws.ToString(taken[0].ImageId), awscall.TagMap(taken[0].Tags)
	switch {
	case mayReuse && c.ReuseUnchanged && tags[bake.TagInputs] != "":
		return nil
	case !c.ForceDeregister && tags[bake.TagExpires] != "":
		return fmt.Errorf("the name %q is taken by %s in %s, whose bake was killed before it was complete, or is "+
			"under way (it has the tag %s): deregister that image, choose another ami_name, or set force_deregister "+
			"to replace it", c.AMIName, id, t.Region, bake.TagExpires)
	case !c.ForceDeregister:
		return fmt.Errorf("the name %q is taken by %s in %s: choose another ami_name, or set force_deregister to "+
			"replace that image", c.AMIName, id, t.Region)
	case IsProtected(&taken[0]):
		return fmt.Errorf("force_deregister cannot replace %s in %s, which has the name %q and is protected from "+
			"deregistration: disable its protection, or choose another ami_name", id, t.Region, c.AMIName)
	}
	return m.checkReplaceable(t, &taken[0])
}

// checkSeen refuses for force_deregister an image that no bake has made and that has got the name only while this bake
// was running: nobody has meant that one.
func (t *RegionTarget) checkSeen(image *types.Image) error {
	id := aws.ToString(image.ImageId)
	if t.seen == nil || slices.Contains(t.seen, id) || ownership.MadeImage(image) {
		return nil
	}
	return fmt.Errorf("force_deregister does not replace %s in %s: it has got the name %q while this bake was "+
		"running, and no bake has made it; bake again if it may go", id, t.Region, aws.ToString(image.Name))
}

// checkReplaceable refuses for force_deregister what has the tags of a bake and is not what the bake has made: a copy
// that somebody made with the tags, to keep it. An image without such tags is one that the template means by its name.
func (m *Maker) checkReplaceable(t *RegionTarget, image *types.Image) error {
	id, tags := aws.ToString(image.ImageId), awscall.TagMap(image.Tags)
	isOfBake := false
	for key := range tags {
		isOfBake = isOfBake || strings.HasPrefix(key, bake.TagPrefix)
	}
	if !isOfBake || ownership.HasOwnID(tags, id) {
		return nil
	}
	return fmt.Errorf("force_deregister does not replace %s in %s, which has the name %q: it has the tags of a bake, "+
		"but not its own id as the tag %s, so it is a copy that somebody has made, or its bake was killed. Choose "+
		"another ami_name, or say that it may go: %s", id, t.Region, aws.ToString(image.Name), bake.TagSelf,
		m.bake.CLI.CommandIn(t.Region, "ec2 create-tags --resources %s --tags Key=%s,Value=%s", id, bake.TagSelf, id))
}

// imagesWithName returns the account's images in a region that have the name of this bake's image.
func (m *Maker) imagesWithName(ctx context.Context, t *RegionTarget) ([]types.Image, error) {
	return WithName(ctx, t.EC2, t.Region, m.settings.Image.AMIName)
}

// checkRegions checks that the regions of the template exist and are enabled for the account. The region of the build
// has answered already, so there is no call when there are no others.
func (m *Maker) checkRegions(ctx context.Context) error {
	c, home := m.settings.Copy, m.home.Region
	others := c.OtherRegions(home)
	for region := range c.RegionKMSKeyIDs {
		if !slices.Contains(others, region) && region != home {
			others = append(others, region)
		}
	}
	if c.SkipRegionValidation || len(others) == 0 {
		return nil
	}
	out, err := m.home.EC2.DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	if err != nil {
		return fmt.Errorf("look up the regions of ami_regions; skip_region_validation leaves this check out: %w", err)
	}
	var enabled []string
	for i := range out.Regions {
		enabled = append(enabled, aws.ToString(out.Regions[i].RegionName))
	}
	slices.Sort(others)
	var errs []error
	for _, region := range append([]string{home}, others...) {
		if !slices.Contains(enabled, region) {
			errs = append(errs, fmt.Errorf("region %q does not exist, or is not enabled for the account: correct "+
				"region, ami_regions or region_kms_key_ids, or set skip_region_validation", region))
		}
	}
	return errors.Join(errs...)
}
