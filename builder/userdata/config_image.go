// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
)

// ImageConfig says what the image is called and what becomes of it.
type ImageConfig struct {
	// The name of the image: 3 to 128 letters, digits, spaces and `( ) [ ] . / - ' @ _`. It must not be taken in the
	// account and region, or `force_deregister` must be set. `{{ clean_resource_name x }}` replaces what is not
	// allowed.
	AMIName string `mapstructure:"ami_name" required:"true"`
	// The description of the image. Default: made of the name and the version. It may use build data such as
	// `{{ .SourceAMI }}`.
	AMIDescription string `mapstructure:"ami_description"`
	// The version of the image: the `Version` tag, and part of the default description. Default: `VERSION` of
	// `ami.env`.
	ImageVersion string `mapstructure:"image_version"`
	// Tags of the image and its snapshots, beside the bake's own (`Name`, `Version` and those that begin with
	// `bakery:`). Values may use build data such as `{{ .SourceAMI }}`.
	Tags map[string]string `mapstructure:"tags"`
	// Tags of the snapshots, where they differ from `tags`.
	SnapshotTags map[string]string `mapstructure:"snapshot_tags"`
	// Bake, but make no image of the machine: to try things out. Default: `false`.
	SkipCreateAMI bool `mapstructure:"skip_create_ami"`
	// Deregister the image that has the name already, instead of failing. As two images of an account cannot have
	// the same name, that happens after the machine has reported success and right before the new image is made:
	// a bake that fails leaves the old image alone. Default: `false`, or `true` with `packer build -force`.
	ForceDeregister bool `mapstructure:"force_deregister"`
	// Delete the snapshots of the image that `force_deregister` deregisters. Default: `false`.
	ForceDeleteSnapshot bool `mapstructure:"force_delete_snapshot"`
	// How long the image may take to become available, as a duration. Default: `30m`; at least `120s`.
	ImageTimeout time.Duration `mapstructure:"image_timeout"`
	// How often the image is looked at, as a duration. Default: `5s`; at most `60s`. The interval never grows.
	ImagePollInterval time.Duration `mapstructure:"image_poll_interval"`
	// A file to write the name and the id of the image to, as the two lines `AMINAME=` and `AMIID=`, quoted for a
	// shell. Default: none. Written only when the image is available.
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
	if err := interpolate.Validate(c.AMIDescription, ctx); err != nil {
		errs = append(errs, fmt.Errorf("ami_description: %w", err))
	}
	errs = append(errs, durationBetween("image_timeout", &c.ImageTimeout, defaultTimeout, leastTimeout, 0)...)
	errs = append(errs, durationBetween("image_poll_interval", &c.ImagePollInterval,
		defaultInterval, leastInterval, mostInterval)...)
	return nil, append(errs, checkTags("tags", c.Tags)...)
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
