// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown
//go:generate go tool -modfile=../../tools/go.mod packer-sdc mapstructure-to-hcl2 -type SourceFilter,DeregistrationProtection

package ami

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// ImageConfig says what the image is called and made of.
type ImageConfig struct {
	// The name of the image: 3 to 128 letters, digits, spaces and `( ) [ ] . / - ' @ _`. It must not be taken in the
	// account, neither in the region of the build nor in one of `ami_regions`, or `force_deregister` must be set.
	// `{{ clean_resource_name x }}` replaces what is not allowed.
	AMIName string `mapstructure:"ami_name" required:"true"`
	// The description of the image, in every region; at most 255 printable characters of ASCII. Default: made of the
	// name and the version. It may use build data such as `{{ .SourceAMI }}`.
	AMIDescription string `mapstructure:"ami_description"`
	// The version of the image: the `Version` tag, of at most 256 characters, and part of the default description.
	// Default: `VERSION` of `ami.env`.
	ImageVersion string `mapstructure:"image_version"`
	// Tags of the image and its snapshots in every region, beside the bake's own (`Name`, `Version` and those that
	// begin with `bakery:`). Keys and values may use build data such as `{{ .SourceAMI }}`. The tags are set by the
	// calls that make images and snapshots, so nothing is ever without them.
	Tags map[string]string `mapstructure:"tags"`
	// One tag as a block with `key` and `value`, which can be repeated and made by a `dynamic` block. Joins `tags`;
	// where both have a key, this one counts.
	Tag config.KeyValues `mapstructure:"tag"`
	// Tags of the snapshots, where they differ from `tags`.
	SnapshotTags map[string]string `mapstructure:"snapshot_tags"`
	// One tag of the snapshots as a block with `key` and `value`, which can be repeated. Joins `snapshot_tags`.
	SnapshotTag config.KeyValues `mapstructure:"snapshot_tag"`
	// Do not put `run_tags` on the image and its snapshots. Default: `false`.
	SkipAMIRunTags bool `mapstructure:"skip_ami_run_tags"`
	// Disks that machines launched from the image get, or do not get (`no_device`), beside those of the baked machine.
	// Of the baked machine's own disks, EC2 lets little more than `delete_on_termination` be changed here: their size
	// and type are those of `launch_block_device_mappings`. `delete_on_termination` is `false` by default in this
	// setting, as with amazon-ebs: whoever launches the image may keep data there. See
	// [BlockDevice](#block-devices-configuration).
	AMIBlockDevices []blockdevice.BlockDevice `mapstructure:"ami_block_device_mappings"`
	// Bake, but make no image of the machine: to try things out. Default: `false`.
	SkipCreateAMI bool `mapstructure:"skip_create_ami"`
	// Replace the image that has the name already, in the region of the build and in those of `ami_regions`, instead
	// of failing. The old image goes last: as two images of an account and region cannot have the same name, and none
	// can be renamed, the new one is made under a temporary name, and only when it is available in every region and
	// has all its attributes is the old one deregistered, the new one copied to the name, and the temporary one
	// removed. A bake that fails before leaves the old image alone; one that fails after keeps the new image and
	// says under which name. Where nothing has the name, nothing of this takes place. An old image with
	// deregistration protection is not replaced, nor one that has the tags of a bake but not its own id as the tag
	// `bakery:self`, which is a copy that somebody has made: the bake stops before it begins. When two bakes replace
	// one name at the same time, one fails, and removes its image. Default: `false`, or `true` with
	// `packer build -force`.
	ForceDeregister bool `mapstructure:"force_deregister"`
	// Return an image that is there already instead of baking the same one once more. An image of this account counts
	// when the inputs that its bake has recorded are those of this build: the source image's id, the user data, `fs/`,
	// what the provisioners do, the options of the image, and its name. Times and UUIDs in names, tags, versions and
	// the description do not count. It must be available, neither deprecated nor temporary, and there in every region
	// that is wanted. Otherwise the build bakes, and says what has changed. What is given to every image afterwards
	// (sharing, `imds_support`, `deprecate_at`, `deregistration_protection`) is given to the one that is returned as
	// well. `packer build -force` bakes in any case. Conflicts with `skip_create_ami`. Default: `false`. See [Unchanged
	// builds](#unchanged-builds).
	ReuseUnchanged bool `mapstructure:"reuse_unchanged"`
	// After `force_deregister` has replaced an image, delete the snapshots of the old image that its bake has made.
	// All other snapshots of it stay: those that `ami_block_device_mappings` of this or of an earlier template names by
	// `snapshot_id`, and those of an image that no bake has made. A warning gives the command that deletes them.
	// Default: `false`.
	ForceDeleteSnapshot bool `mapstructure:"force_delete_snapshot"`
	// How long an image may take to become available, as a duration; each copy in another region has this time as
	// well. Default: `30m`; at least `120s`.
	ImageTimeout time.Duration `mapstructure:"image_timeout"`
	// How often an image is looked at, as a duration. Default: `5s`; at most `60s`. In the beginning it is looked at
	// more often, and less often only while AWS asks to slow down.
	ImagePollInterval time.Duration `mapstructure:"image_poll_interval"`
	// A file to write the name and the id of the image in the region of the build to, as the two lines `AMINAME=` and
	// `AMIID=`, quoted for a shell. Default: none. It is written when the bake has succeeded: one that fails leaves
	// an earlier file as it was. Links are followed. Whether it can be written is checked before the launch.
	OutputFile string `mapstructure:"output_file"`
}

// Check sets defaults and returns warnings and what is wrong with the settings. force is packer build -force.
func (c *ImageConfig) Check(force bool, ctx *interpolate.Context) ([]string, []error) {
	var errs []error
	c.ForceDeregister = c.ForceDeregister || force
	if err := c.checkName(); err != nil {
		errs = append(errs, err)
	}
	if c.ReuseUnchanged && c.SkipCreateAMI {
		errs = append(errs, errors.New("reuse_unchanged returns an image that is there, and skip_create_ami makes "+
			"none: keep one of them"))
	}
	if err := interpolate.Validate(c.AMIDescription, ctx); err != nil {
		errs = append(errs, fmt.Errorf("ami_description: %w", err))
	} else if setting.Known(c.AMIDescription) && !strings.Contains(c.AMIDescription, "{{") {
		errs = append(errs, setting.NonNil(CheckDescription("ami_description", c.AMIDescription))...)
	}
	if n := utf8.RuneCountInString(c.ImageVersion); n > longestTagValue {
		errs = append(errs, fmt.Errorf("image_version has %d characters; it must have at most %d, as the value of a "+
			"tag", n, longestTagValue))
	}
	errs = append(errs, setting.DurationBetween("image_timeout", &c.ImageTimeout,
		setting.DefaultTimeout, setting.LeastTimeout, 0)...)
	errs = append(errs, setting.DurationBetween("image_poll_interval", &c.ImagePollInterval,
		setting.DefaultInterval, setting.LeastInterval, setting.MostInterval)...)
	errs = append(errs, c.checkTags()...)
	for i := range c.AMIBlockDevices {
		name := fmt.Sprintf("ami_block_device_mappings[%d]", i)
		errs = append(errs, setting.Prefix(name, c.AMIBlockDevices[i].CheckForImage())...)
	}
	return nil, errs
}

// longestDescription is the limit of CreateImage:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html.
const longestDescription = 255

// longestTagValue is the limit of EC2: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html.
const longestTagValue = 256

// CheckDescription refuses a description that EC2 would refuse when the machine has baked. where says what it is made
// of.
func CheckDescription(where, text string) error {
	for _, r := range text {
		if r > unicode.MaxASCII || r < ' ' && r != '\t' && r != '\n' && r != '\r' {
			return fmt.Errorf("%s: %q has the character %q, and EC2 takes only printable characters of ASCII in a "+
				"description: write it without", where, text, r)
		}
	}
	if n := len(text); n > longestDescription {
		return fmt.Errorf("%s has %d characters; it must have at most %d", where, n, longestDescription)
	}
	return nil
}

// checkTags joins the two forms of tags and checks them.
func (c *ImageConfig) checkTags() []error {
	errs := slices.Concat(c.Tag.CopyOn(&c.Tags), c.SnapshotTag.CopyOn(&c.SnapshotTags))
	c.Tag, c.SnapshotTag = nil, nil
	return slices.Concat(errs, bake.CheckTags("tags", c.Tags), bake.CheckTags("snapshot_tags", c.SnapshotTags))
}

func (c *ImageConfig) checkName() error {
	switch {
	case c.AMIName == "":
		return errors.New("ami_name is needed: the name of the image")
	case setting.Unknown(c.AMIName):
		return nil
	case len(c.AMIName) < 3 || len(c.AMIName) > 128:
		return fmt.Errorf("ami_name: %q has %d characters; it must have 3 to 128", c.AMIName, len(c.AMIName))
	case !imageName.MatchString(c.AMIName):
		return fmt.Errorf("ami_name: %q has characters other than letters, digits, spaces and ( ) [ ] . / - ' @ _; "+
			"clean_resource_name replaces them", c.AMIName)
	}
	return nil
}

// OwnSnapshots returns the snapshots that were made with an image: all but those that ami_block_device_mappings names
// by their snapshot_id. EC2 uses these for the image as they are, and they stay the user's.
func (c *ImageConfig) OwnSnapshots(image *types.Image) []string {
	return slices.DeleteFunc(SnapshotsOf(image), func(id string) bool {
		return slices.ContainsFunc(c.AMIBlockDevices, func(d blockdevice.BlockDevice) bool {
			return d.SnapshotID == id
		})
	})
}
