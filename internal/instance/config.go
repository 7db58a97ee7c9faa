// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown
//go:generate go tool -modfile=../../tools/go.mod packer-sdc mapstructure-to-hcl2 -type MetadataOptions,Placement,LicenseSpecification,LicenseConfigurationRequest,PollingConfig

package instance

import (
	"errors"
	"fmt"

	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// RunConfig says how the machine runs that the image is made of.
type RunConfig struct {
	// The type of machine to bake on. Default: `t3.nano`. It must be able to run the architecture of the source
	// image. On old types, such as `t2.micro`, the verdict comes minutes late without `staging`; see [Instance types on
	// Xen](https://github.com/amibakery/packer-plugin-bakery/blob/main/docs/guest.md#instance-types-on-xen). Conflicts
	// with `spot_instance_types`.
	InstanceType string `mapstructure:"instance_type"`
	// The name of a key pair to put on the machine, for a look at it after `packer build -on-error=abort`. Default:
	// none. The key is not in the image.
	KeyName string `mapstructure:"key_name"`
	// Tags of the machine, its network interface and its volumes, of the temporary security group and the temporary
	// role, beside the bake's own. Values may use build data such as `{{ .SourceAMI }}`. They are put on the image as
	// well.
	RunTags map[string]string `mapstructure:"run_tags"`
	// The same as `run_tags`, as a repeatable block of a `key` and a `value`.
	RunTag config.KeyValues `mapstructure:"run_tag"`
	// Further tags of the machine's volumes. Values may use build data.
	RunVolumeTags map[string]string `mapstructure:"run_volume_tags"`
	// The same as `run_volume_tags`, as a repeatable block of a `name` and a `value`.
	RunVolumeTag config.NameValues `mapstructure:"run_volume_tag"`
	// The machine's disks, where they differ from the source image's. The image is made with them. See
	// [BlockDevice](#block-devices-configuration).
	LaunchBlockDevices []blockdevice.BlockDevice `mapstructure:"launch_block_device_mappings"`
	// The machine's metadata service. See [MetadataOptions](#metadata-options-configuration).
	Metadata MetadataOptions `mapstructure:"metadata_options"`
	// Run the machine with a network of its own to its disks, where the type does not have that anyway. Default:
	// `false`.
	EbsOptimized bool `mapstructure:"ebs_optimized"`
	// Let a burstable machine use more of its processors than it has credits for, which may cost a little. Default:
	// `false`, which is the `standard` credits of amazon-ebs for an `instance_type` that the template names, and what
	// the account says for the `t3.nano` of a template that names none.
	EnableUnlimitedCredits bool `mapstructure:"enable_unlimited_credits"`
	// Deprecated: set `enable_unlimited_credits`.
	EnableT2Unlimited bool `mapstructure:"enable_t2_unlimited"`
	// Accepted, and always so here: the machine powers itself off when it is done.
	DisableStopInstance bool `mapstructure:"disable_stop_instance"`
	// `stop`, the default. `terminate` is accepted with a warning and means `stop`: the machine powers itself off, and
	// a terminated one leaves nothing to make an image of.
	ShutdownBehavior string `mapstructure:"shutdown_behavior"`

	typeIsDefault bool // the template names no type
}

// MetadataOptions are the settings of the machine's metadata service, from which cloud-init reads the user data.
type MetadataOptions struct {
	// `enabled`, the default. cloud-init cannot read its user data where the service is disabled, so `disabled` is an
	// error.
	HTTPEndpoint string `mapstructure:"http_endpoint"`
	// `required`, the default, for IMDSv2 only, or `optional`. Unlike amazon-ebs, because accounts may refuse to run
	// what is `optional`; cloud-init has spoken IMDSv2 since 19.4.
	HTTPTokens string `mapstructure:"http_tokens"`
	// How many network hops an answer of the service survives, 1 to 64. Default: 1.
	HTTPPutResponseHopLimit int32 `mapstructure:"http_put_response_hop_limit"`
	// `enabled` to let the machine read its own tags there, or `disabled`, the default.
	InstanceMetadataTags string `mapstructure:"instance_metadata_tags"`
}

const (
	optionRequired = "required"
	optionEnabled  = "enabled"
	optionDisabled = "disabled"
)

// Check returns warnings, and what is wrong with the settings. It sets their defaults.
func (c *RunConfig) Check() ([]string, []error) {
	warnings, errs := c.checkShutdown()
	errs = append(errs, c.RunTag.CopyOn(&c.RunTags)...)
	errs = append(errs, c.RunVolumeTag.CopyOn(&c.RunVolumeTags)...)
	errs = append(errs, bake.CheckTags("run_tags", c.RunTags)...)
	errs = append(errs, bake.CheckTags("run_volume_tags", c.RunVolumeTags)...)
	errs = append(errs, c.Metadata.check()...)
	for i := range c.LaunchBlockDevices {
		name := fmt.Sprintf("launch_block_device_mappings[%d]", i)
		errs = append(errs, setting.Prefix(name, c.LaunchBlockDevices[i].Check())...)
	}
	if c.EnableT2Unlimited {
		c.EnableUnlimitedCredits = true
		warnings = append(warnings, "enable_t2_unlimited is deprecated: set enable_unlimited_credits")
	}
	return warnings, errs
}

func (c *RunConfig) checkShutdown() ([]string, []error) {
	const terminate = "terminate"
	if err := setting.CheckOneOf("shutdown_behavior", &c.ShutdownBehavior, "stop", terminate); err != nil {
		return nil, []error{err}
	}
	if c.ShutdownBehavior != terminate {
		return nil, nil
	}
	return []string{"shutdown_behavior = \"terminate\" is taken for \"stop\": the machine powers itself off when it " +
		"is done, and the image is made of the stopped machine. It is terminated after that"}, nil
}

func (m *MetadataOptions) check() []error {
	var errs []error
	oneOf := func(name string, value *string, byDefault string, others ...string) {
		if err := setting.CheckOneOf("metadata_options: "+name, value, byDefault, others...); err != nil {
			errs = append(errs, err)
		}
	}
	oneOf("http_tokens", &m.HTTPTokens, optionRequired, "optional")
	oneOf("instance_metadata_tags", &m.InstanceMetadataTags, optionDisabled, optionEnabled)
	if m.HTTPEndpoint == optionDisabled {
		errs = append(errs, errors.New("metadata_options: http_endpoint is disabled, but cloud-init reads its user "+
			"data there; disable it in the image's launch template instead"))
	} else {
		oneOf("http_endpoint", &m.HTTPEndpoint, optionEnabled)
	}
	if m.HTTPPutResponseHopLimit == 0 {
		m.HTTPPutResponseHopLimit = 1
	}
	if m.HTTPPutResponseHopLimit < 1 || m.HTTPPutResponseHopLimit > 64 {
		errs = append(errs, fmt.Errorf("metadata_options: http_put_response_hop_limit is %d; it must be between 1 "+
			"and 64",
			m.HTTPPutResponseHopLimit))
	}
	return errs
}
