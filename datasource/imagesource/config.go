// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown
//go:generate go tool -modfile=../../tools/go.mod packer-sdc mapstructure-to-hcl2 -type Config

package imagesource

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/packer-plugin-sdk/common"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/placeholder"
)

// Config are the settings of the data source.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`

	// The directory of the Image-Source: `cloudinit/`, `fs/`, `script/compile.sh`, `script/install.sh`, `ami.env` and
	// `readme.md`. A relative path is relative to where Packer runs; `${path.root}/image` is beside the template.
	Source string `mapstructure:"source" required:"true"`
	// The directory the bundle is written to: `userdata.gz`, `vars.env`, and `fs.tgz` when the files do not fit into
	// the user data. It is made when it is not there, and must not be inside `source`. Default: the name of `source`
	// with `.bundle` added, beside it.
	Target string `mapstructure:"target"`
	// The AWS region of the bucket in `s3_url`. It goes to `vars.env` as `AWSREGION`, and nothing is asked from AWS.
	// Default: the `AWSREGION` environment variable, then `ap-northeast-1`.
	Region string `mapstructure:"region"`
	// The S3 URL `fs.tgz` will be uploaded to, in the form `s3://bucket/path/to/fs.tgz`, for a bundle that is launched
	// by other means than `bakery-userdata`: the machine fetches it from there through its instance profile. Default:
	// the `S3URL` environment variable, then none. The builder uploads to its own `staging` instead and needs none.
	S3URL string `mapstructure:"s3_url"`
	// Up to this many bytes of compressed `fs/` are put into the user data; a larger one becomes `fs.tgz`. At most
	// `16384`, the largest user data of EC2. Default: `8192`.
	FSInlineLimit int64 `mapstructure:"fs_inline_limit"`
	// Variables for the environment of `script/compile.sh`, besides those Packer itself runs with. Default: none.
	Env map[string]string `mapstructure:"env"`
	// Treat warnings about the Image-Source, such as an unknown key of a cloud-config, as errors. Default: `false`.
	Strict bool `mapstructure:"strict"`
	// Mistakes that are warnings instead of errors: top-level keys of a cloud-config, or `"unknown_keys"` for all keys
	// that cloud-init does not know, such as those of a module that the base image adds. The machine has to be told
	// too: set `ignore_failures` of the builder. Default: none. For example:
	// ```hcl
	// ignore_failures = ["unknown_keys"]
	// ```
	IgnoreFailures []string `mapstructure:"ignore_failures"`
}

// prepare decodes the settings, sets the defaults, and checks what is known.
func (c *Config) prepare(raws ...any) error {
	if err := config.Decode(c, nil, raws...); err != nil {
		return err
	}
	c.Region = cmp.Or(c.Region, os.Getenv("AWSREGION"), bundle.DefaultRegion)
	c.S3URL = cmp.Or(c.S3URL, os.Getenv("S3URL"))
	if c.Target == "" && c.Source != "" {
		target, err := beside(c.Source)
		if err != nil {
			return err
		}
		c.Target = target
	}
	known := slices.DeleteFunc(slices.Clone(c.IgnoreFailures), placeholder.In)
	return errors.Join(append(guest.CheckIgnored(known), c.checkSource(), c.checkInlineLimit())...)
}

// beside returns the default target. For a source such as ".", it uses the name of the directory.
func beside(source string) (string, error) {
	if base := filepath.Base(source); base == "." || base == ".." {
		absolute, err := filepath.Abs(source)
		if err != nil {
			return "", fmt.Errorf("find a target beside source %q: %w; set target", source, err)
		}
		source = absolute
	}
	return filepath.Clean(source) + ".bundle", nil
}

func (c *Config) checkSource() error {
	switch {
	case c.Source == "":
		return errors.New("source is missing: set it to the directory of an Image-Source")
	case placeholder.In(c.Source):
		return nil // checked before it is compiled
	}
	problems := bundle.Check(c.known())
	warn(problems.Warnings())
	return problems.Err()
}

func (c *Config) checkInlineLimit() error {
	if c.FSInlineLimit < 0 || c.FSInlineLimit > guest.MaxUserData {
		return fmt.Errorf("fs_inline_limit is %d; it must be between 0 and %d, which is all EC2 takes", c.FSInlineLimit,
			guest.MaxUserData)
	}
	return nil
}

func (c *Config) options() bundle.Options {
	return bundle.Options{
		Source: c.Source, Target: c.Target, Region: c.Region, S3URL: c.S3URL,
		InlineLimit: c.FSInlineLimit, Env: c.Env, Strict: c.Strict, Ignored: c.IgnoreFailures,
	}
}

// known returns the options without the values that are not known yet.
func (c *Config) known() bundle.Options {
	o := c.options()
	for _, value := range []*string{&o.Target, &o.Region, &o.S3URL} {
		if placeholder.In(*value) {
			*value = ""
		}
	}
	o.Env = map[string]string{}
	for name, value := range c.Env {
		if !placeholder.In(name) && !placeholder.In(value) {
			o.Env[name] = value
		}
	}
	return o
}
