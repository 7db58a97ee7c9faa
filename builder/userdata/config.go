// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown
//go:generate go tool -modfile=../../tools/go.mod packer-sdc mapstructure-to-hcl2 -type Config,StagingConfig,FastLaunch,FastLaunchTemplate

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

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/instance"
	"github.com/amibakery/packer-plugin-bakery/internal/instanceprofile"
	"github.com/amibakery/packer-plugin-bakery/internal/machinelog"
	"github.com/amibakery/packer-plugin-bakery/internal/network"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
	"github.com/amibakery/packer-plugin-bakery/internal/sweep"
	"github.com/amibakery/packer-plugin-bakery/internal/template"
)

// Config is everything a template can say about one bake. Settings that amazon-ebs has as well carry its names, types
// and meaning.
type Config struct {
	common.PackerConfig           `mapstructure:",squash"`
	awsconfig.Settings            `mapstructure:",squash"`
	InputConfig                   `mapstructure:",squash"`
	ami.SourceConfig              `mapstructure:",squash"`
	instance.RunConfig            `mapstructure:",squash"`
	network.AttachConfig          `mapstructure:",squash"`
	instanceprofile.ProfileConfig `mapstructure:",squash"`
	instance.PlacementConfig      `mapstructure:",squash"`
	instance.SpotConfig           `mapstructure:",squash"`
	LoginConfig                   `mapstructure:",squash"`
	instance.WatchConfig          `mapstructure:",squash"`
	machinelog.LogConfig          `mapstructure:",squash"`
	ami.ImageConfig               `mapstructure:",squash"`
	ami.CopyConfig                `mapstructure:",squash"`
	ami.SharingConfig             `mapstructure:",squash"`
	ami.AttributesConfig          `mapstructure:",squash"`
	sweep.SweepConfig             `mapstructure:",squash"`
	IgnoredConfig                 `mapstructure:",squash"`
	// Where files go that do not fit into user data. See [StagingConfig](#staging-configuration). Needed only when
	// `fs/` is larger than `fs_inline_limit`, or the user data is larger than 16,384 bytes, together with what the
	// provisioners recorded.
	Staging *StagingConfig `mapstructure:"staging"`
	// Comm is read so that a template written for SSH is accepted; nothing is done with it.
	Comm communicator.Config `mapstructure:",squash"`

	ctx          interpolate.Context
	provisioners []template.Provisioner // of this source, where the template can be read
}

// renderedLater are the settings that are templates of what is only known during the bake, such as `{{ .SourceAMI }}`.
var renderedLater = []string{
	"ami_description", "tags", "tag", "snapshot_tags", "snapshot_tag", "run_tags", "run_tag", "run_volume_tags",
	"run_volume_tag", "spot_tags", "spot_tag", "fleet_tags", "fleet_tag",
}

// prepare decodes the template's settings and checks them. It returns warnings, and all problems in one error.
func (c *Config) prepare(raws ...any) ([]string, error) {
	settings, verbatim, err := splitVerbatim(raws)
	if err != nil {
		return nil, err
	}
	*c = Config{ctx: interpolate.Context{Funcs: ami.TemplateFuncs}}
	if err := config.Decode(c, &config.DecodeOpts{
		PluginType:         BuilderID,
		Interpolate:        true,
		InterpolateContext: &c.ctx,
		InterpolateFilter:  &interpolate.RenderFilter{Exclude: renderedLater},
		DecodeHooks:        setting.DecodeHooks,
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

// machineSettings are the settings of the machine that bakes.
func (c *Config) machineSettings() instance.Settings {
	return instance.Settings{Run: &c.RunConfig, Placement: &c.PlacementConfig, Spot: &c.SpotConfig,
		Watch: &c.WatchConfig}
}

// imageSettings are the settings of the images.
func (c *Config) imageSettings() ami.Settings {
	return ami.Settings{
		Image: &c.ImageConfig, Copy: &c.CopyConfig, Sharing: &c.SharingConfig, Attributes: &c.AttributesConfig,
	}
}

func (c *Config) check() ([]string, error) {
	checks := c.bakeChecks()
	if c.SweepOnly {
		checks = []func() ([]string, []error){c.checkAccess, c.checkStaging, c.checkSweepOnly}
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
		c.checkAccess,
		func() ([]string, []error) { return c.ApplyPolling(&c.ImageTimeout, &c.ImagePollInterval) },
		func() ([]string, []error) {
			return c.InputConfig.check(c.Verdict == setting.VerdictStop, c.IgnoreFailures)
		},
		c.SourceConfig.Check,
		c.RunConfig.Check,
		c.machineSettings().CheckTypes,
		c.AttachConfig.Check,
		c.ProfileConfig.Check,
		c.PlacementConfig.Check,
		c.SpotConfig.Check,
		c.WatchConfig.Check,
		func() ([]string, []error) { return c.ImageConfig.Check(c.PackerForce, &c.ctx) },
		func() ([]string, []error) { return c.CopyConfig.Check(c.Region, &c.SharingConfig) },
		c.SharingConfig.Check,
		func() ([]string, []error) { return c.AttributesConfig.Check(time.Now(), c.MakesPublic()) },
		c.checkTagCounts,
		c.checkTexts,
		c.checkOutputRegion,
		c.checkSpotNetworking,
		c.checkStaging,
		c.checkSession,
		func() ([]string, []error) { return c.LogConfig.Check(c.Staging != nil, c.Verdict, c.OutputFile) },
		c.checkLogin,
		c.checkProvisioners,
		c.checkCommunicator,
	}
}

func (c *Config) checkAccess() ([]string, []error) {
	return nil, c.Settings.Prepare()
}

func (c *Config) checkSweepOnly() ([]string, []error) {
	c.Comm.Type = "none"
	return c.SweepConfig.Check(map[string]string{
		"ami_name": c.AMIName, "source_ami": c.SourceAmi, "image_source": c.ImageSource, "bundle": c.Bundle,
		"user_data": c.UserData, "user_data_file": c.UserDataFile,
	})
}

func (c *Config) checkOutputRegion() ([]string, []error) {
	if setting.Known(c.OutputFile) && c.SkipSaveBuildRegion {
		return nil, []error{errors.New("output_file tells of the image in the region of the build, " +
			"which skip_save_build_region does not keep: leave one of them out")}
	}
	return nil, nil
}

// checkSpotNetworking refuses what EC2 would when the machine has baked: it changes no attribute of a Spot Instance.
func (c *Config) checkSpotNetworking() ([]string, []error) {
	if c.IsKnownSpot() && (c.SriovSupport || c.ENASupport.ToBoolPointer() != nil) {
		return nil, []error{errors.New("ena_support and sriov_support do not go with Spot Instances, which EC2 does " +
			"not change: start from an image that has them, or remove spot_price and spot_instance_types")}
	}
	return nil, nil
}

// lifetime is how long a bake may take at most, from any moment on: the sum of the limits of all that may still come.
func (c *Config) lifetime() time.Duration {
	sum := c.InstanceTimeout + c.ImageTimeout + bake.ExpiryMargin
	if c.IsSpot() { // which may be taken back once
		sum += c.InstanceTimeout
	}
	if c.ForceDeregister { // a copy takes the name at the end
		sum += c.ImageTimeout
	}
	if c.UsesIntermediary() || len(c.AMIRegions) > 0 { // all copies are made at the same time
		sum += c.ImageTimeout
	}
	if c.BootMode != "" || c.TPMSupport != "" { // registered anew
		sum += c.ImageTimeout
	}
	return sum
}

// secrets are the values that must not be said or written.
func (c *Config) secrets() []string {
	values := slices.Clone(c.SensitiveValues)
	for _, name := range c.PackerSensitiveVars { // of templates in JSON
		values = append(values, c.PackerUserVars[name])
	}
	return append(c.Secrets(), redact.LinesOf(slices.DeleteFunc(values, setting.Unknown))...)
}
