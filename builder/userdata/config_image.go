// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
)

// ImageConfig says what the image is called and made of.
type ImageConfig struct {
	// The name of the image: 3 to 128 letters, digits, spaces and `( ) [ ] . / - ' @ _`. It must not be taken in the
	// account, neither in the region of the build nor in one of `ami_regions`, or `force_deregister` must be set.
	// `{{ clean_resource_name x }}` replaces what is not allowed.
	AMIName string `mapstructure:"ami_name" required:"true"`
	// The description of the image, in every region; at most 255 characters. Default: made of the name and the
	// version. It may use build data such as `{{ .SourceAMI }}`.
	AMIDescription string `mapstructure:"ami_description"`
	// The version of the image: the `Version` tag, and part of the default description. Default: `VERSION` of
	// `ami.env`.
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
	AMIBlockDevices []BlockDevice `mapstructure:"ami_block_device_mappings"`
	// Bake, but make no image of the machine: to try things out. Default: `false`.
	SkipCreateAMI bool `mapstructure:"skip_create_ami"`
	// Replace the image that has the name already, in the region of the build and in those of `ami_regions`, instead
	// of failing. The old image goes last: as two images of an account and region cannot have the same name, and none
	// can be renamed, the new one is made under a temporary name, and only when it is available in every region and
	// has all its attributes is the old one deregistered, the new one copied to the name, and the temporary one
	// removed. A bake that fails before leaves the old image alone; one that fails after keeps the new image and
	// says under which name. Where nothing has the name, nothing of this takes place. An old image with
	// deregistration protection is not replaced: the bake stops before it begins. Default: `false`, or `true` with
	// `packer build -force`.
	ForceDeregister bool `mapstructure:"force_deregister"`
	// Return an image that is there already instead of baking the same one once more. An image of this account counts when
	// the inputs that its bake has recorded are those of this build: the source image's id, the user data, `fs/`, what the
	// provisioners do, the options of the image, and its name. Times and UUIDs in names, tags, versions and the description
	// do not count. It must be available, neither deprecated nor temporary, and there in every region that is
	// wanted. Otherwise the build bakes, and says what has changed. What is given to every image afterwards (sharing,
	// `imds_support`, `deprecate_at`, `deregistration_protection`) is given to the one that is returned as well.
	// `packer build -force` bakes in any case. Conflicts with `skip_create_ami`. Default: `false`. See
	// [Unchanged builds](#unchanged-builds).
	ReuseUnchanged bool `mapstructure:"reuse_unchanged"`
	// Delete the snapshots of the images that `force_deregister` has replaced, when the new ones are there; not those that
	// `ami_block_device_mappings` names by their `snapshot_id`. Default: `false`.
	ForceDeleteSnapshot bool `mapstructure:"force_delete_snapshot"`
	// How long an image may take to become available, as a duration; each copy in another region has this time as
	// well. Default: `30m`; at least `120s`.
	ImageTimeout time.Duration `mapstructure:"image_timeout"`
	// How often an image is looked at, as a duration. Default: `5s`; at most `60s`. In the beginning it is looked at more
	// often, and less often only while AWS asks to slow down.
	ImagePollInterval time.Duration `mapstructure:"image_poll_interval"`
	// A file to write the name and the id of the image in the region of the build to, as the two lines `AMINAME=` and
	// `AMIID=`, quoted for a shell. Default: none. Written only when the image is available, and removed again when
	// the bake fails after that.
	OutputFile string `mapstructure:"output_file"`
}

// imageName is the characters CreateImage takes:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html.
var imageName = regexp.MustCompile(`^[a-zA-Z0-9()\[\] ./\-'@_]*$`)

func (c *ImageConfig) prepare(force bool, ctx *interpolate.Context) ([]string, []error) {
	var errs []error
	c.ForceDeregister = c.ForceDeregister || force
	if err := c.checkName(); err != nil {
		errs = append(errs, err)
	}
	if c.ReuseUnchanged && c.SkipCreateAMI {
		errs = append(errs, errors.New("reuse_unchanged returns an image that is there, and skip_create_ami makes none: keep one of them"))
	}
	if err := interpolate.Validate(c.AMIDescription, ctx); err != nil {
		errs = append(errs, fmt.Errorf("ami_description: %w", err))
	}
	errs = append(errs, durationBetween("image_timeout", &c.ImageTimeout, defaultTimeout, leastTimeout, 0)...)
	errs = append(errs, durationBetween("image_poll_interval", &c.ImagePollInterval,
		defaultInterval, leastInterval, mostInterval)...)
	errs = append(errs, c.prepareTags()...)
	for i := range c.AMIBlockDevices {
		errs = append(errs, within(fmt.Sprintf("ami_block_device_mappings[%d]", i), c.AMIBlockDevices[i].prepareForImage())...)
	}
	return nil, errs
}

// prepareTags joins the two forms of tags and checks them.
func (c *ImageConfig) prepareTags() []error {
	errs := slices.Concat(c.Tag.CopyOn(&c.Tags), c.SnapshotTag.CopyOn(&c.SnapshotTags))
	c.Tag, c.SnapshotTag = nil, nil
	return slices.Concat(errs, checkTags("tags", c.Tags), checkTags("snapshot_tags", c.SnapshotTags))
}

// prepareForImage is for a disk of an image, which is not that of a machine yet.
func (d *BlockDevice) prepareForImage() []error {
	errs := d.prepare()
	if known(d.SnapshotID) && d.Encrypted.ToBoolPointer() != nil {
		errs = append(errs, errors.New("encrypted does not go with snapshot_id here, where EC2 takes a disk as encrypted as its "+
			"snapshot is: remove it"))
	}
	if known(d.KmsKeyID) {
		errs = append(errs, errors.New("kms_key_id is for launch_block_device_mappings; an image is encrypted with "+
			"encrypt_boot and the kms_key_id beside it"))
	}
	return errs
}

// imageMapping is what CreateImage takes.
func (d *BlockDevice) imageMapping() types.BlockDeviceMapping {
	m := d.mapping()
	if m.Ebs != nil {
		m.Ebs.DeleteOnTermination = aws.Bool(d.DeleteOnTermination.True())
	}
	return m
}

// within says which setting errors are about.
func within(setting string, errs []error) []error {
	var all []error
	for _, err := range errs {
		all = append(all, fmt.Errorf("%s: %w", setting, err))
	}
	return all
}

func (c *ImageConfig) checkName() error {
	switch {
	case c.AMIName == "":
		return errors.New("ami_name is needed: the name of the image")
	case unknown(c.AMIName):
		return nil
	case len(c.AMIName) < 3 || len(c.AMIName) > 128:
		return fmt.Errorf("ami_name: %q has %d characters; it must have 3 to 128", c.AMIName, len(c.AMIName))
	case !imageName.MatchString(c.AMIName):
		return fmt.Errorf("ami_name: %q has characters other than letters, digits, spaces and ( ) [ ] . / - ' @ _; "+
			"clean_resource_name replaces them", c.AMIName)
	}
	return nil
}
