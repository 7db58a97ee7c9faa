// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown
//go:generate go tool -modfile=../../tools/go.mod packer-sdc mapstructure-to-hcl2 -type Config,StagingConfig,SourceFilter,NetworkFilter,SubnetFilter,BlockDevice,MetadataOptions,Placement,LicenseSpecification,LicenseConfigurationRequest,PolicyDocument,Statement,FastLaunch,FastLaunchTemplate,PollingConfig,DeregistrationProtection

package userdata

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/common"
	"github.com/hashicorp/packer-plugin-sdk/communicator"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"
	"github.com/mitchellh/mapstructure"

	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
)

// Config is everything a template can say about one bake. Settings that amazon-ebs has as well carry its names, types
// and meaning.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`
	awsconfig.Settings  `mapstructure:",squash"`
	InputConfig         `mapstructure:",squash"`
	SourceConfig        `mapstructure:",squash"`
	RunConfig           `mapstructure:",squash"`
	NetworkConfig       `mapstructure:",squash"`
	ProfileConfig       `mapstructure:",squash"`
	PlacementConfig     `mapstructure:",squash"`
	SpotConfig          `mapstructure:",squash"`
	LoginConfig         `mapstructure:",squash"`
	WatchConfig         `mapstructure:",squash"`
	LogConfig           `mapstructure:",squash"`
	ImageConfig         `mapstructure:",squash"`
	CopyConfig          `mapstructure:",squash"`
	SharingConfig       `mapstructure:",squash"`
	TraitsConfig        `mapstructure:",squash"`
	SweepConfig         `mapstructure:",squash"`
	IgnoredConfig       `mapstructure:",squash"`
	// Where files go that do not fit into user data. See [StagingConfig](#staging-configuration). Needed only when
	// `fs/` is larger than `fs_inline_limit`, or the user data is larger than 16,384 bytes, together with what the
	// provisioners recorded.
	Staging *StagingConfig `mapstructure:"staging"`
	// Comm is read so that a template written for SSH is accepted; nothing is done with it.
	Comm communicator.Config `mapstructure:",squash"`

	ctx interpolate.Context
}

// renderedLater are the settings that are templates of what is only known during the bake, such as `{{ .SourceAMI }}`.
var renderedLater = []string{
	"ami_description", "tags", "tag", "snapshot_tags", "snapshot_tag", "run_tags", "run_tag", "run_volume_tags", "run_volume_tag",
	"spot_tags", "spot_tag", "fleet_tags", "fleet_tag",
}

// prepare decodes the template's settings and checks them. It returns warnings, and all problems in one error.
func (c *Config) prepare(raws ...any) ([]string, error) {
	settings, verbatim, err := takeVerbatim(raws)
	if err != nil {
		return nil, err
	}
	*c = Config{ctx: interpolate.Context{Funcs: templateFuncs}}
	if err := config.Decode(c, &config.DecodeOpts{
		PluginType:         BuilderID,
		Interpolate:        true,
		InterpolateContext: &c.ctx,
		InterpolateFilter:  &interpolate.RenderFilter{Exclude: renderedLater},
		DecodeHooks:        decodeHooks,
	}, settings...); err != nil {
		return nil, err
	}
	if err := mapstructure.WeakDecode(verbatim, &c.InputConfig); err != nil {
		return nil, fmt.Errorf("decode user_data and compile_env: %w", err)
	}
	if err := c.renderUserData(); err != nil {
		return nil, err
	}
	return c.check()
}

func (c *Config) check() ([]string, error) {
	checks := c.bakeChecks()
	if c.SweepOnly {
		checks = []func() ([]string, []error){c.prepareAccess, c.prepareStaging, c.prepareSweep}
	}
	var warnings []string
	var errs []error
	for _, check := range checks {
		w, e := check()
		warnings = append(warnings, w...)
		errs = append(errs, e...)
	}
	return warnings, errors.Join(errs...)
}

// bakeChecks are those of all settings of a bake, each concern with one.
func (c *Config) bakeChecks() []func() ([]string, []error) {
	return []func() ([]string, []error){
		c.prepareAccess,
		c.preparePolling,
		func() ([]string, []error) { return c.InputConfig.prepare(c.Verdict == verdictStop) },
		c.SourceConfig.prepare,
		c.RunConfig.prepare,
		c.prepareTypes,
		c.NetworkConfig.prepare,
		c.ProfileConfig.prepare,
		c.PlacementConfig.prepare,
		c.SpotConfig.prepare,
		c.WatchConfig.prepare,
		func() ([]string, []error) { return c.ImageConfig.prepare(c.PackerForce, &c.ctx) },
		func() ([]string, []error) { return c.CopyConfig.prepare(c.Region, &c.SharingConfig) },
		c.SharingConfig.prepare,
		func() ([]string, []error) {
			return c.TraitsConfig.prepare(time.Now(), slices.Contains(c.AMIGroups, groupAll))
		},
		c.prepareOutput,
		c.prepareNetworking,
		c.prepareStaging,
		c.prepareLog,
		c.prepareLogin,
		c.prepareCommunicator,
	}
}

func (c *Config) prepareAccess() ([]string, []error) {
	return nil, c.Settings.Prepare()
}

func (c *Config) prepareOutput() ([]string, []error) {
	if known(c.OutputFile) && c.SkipSaveBuildRegion {
		return nil, []error{errors.New("output_file tells of the image in the region of the build, which skip_save_build_region " +
			"does not keep: leave one of them out")}
	}
	return nil, nil
}

// prepareNetworking refuses what EC2 would when the machine has baked: it changes no attribute of a Spot Instance.
func (c *Config) prepareNetworking() ([]string, []error) {
	if c.surelySpot() && (c.SriovSupport || c.ENASupport.ToBoolPointer() != nil) {
		return nil, []error{errors.New("ena_support and sriov_support do not go with Spot Instances, which EC2 does not change: " +
			"start from an image that has them, or remove spot_price and spot_instance_types")}
	}
	return nil, nil
}

// durationBetween fills in a default and checks the limits; both limits are part of the message.
func durationBetween(name string, d *time.Duration, byDefault, least, most time.Duration) []error {
	if *d == 0 {
		*d = byDefault
	}
	switch {
	case *d < least:
		return []error{errorf("%s is %s; it must be at least %s", name, *d, seconds(least))}
	case most > 0 && *d > most:
		return []error{errorf("%s is %s; it must be at most %s", name, *d, seconds(most))}
	}
	return nil
}
