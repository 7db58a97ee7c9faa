// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// RunConfig says how the machine runs that the image is made of.
type RunConfig struct {
	// The type of machine to bake on. Default: `t3.nano`. It must be able to run the architecture of the source
	// image.
	InstanceType string `mapstructure:"instance_type"`
	// The subnet to run the machine in. Default: the default subnet of the account, or of `vpc_id`. The machine
	// needs no address Packer can reach, but most bakes need a way out to package mirrors and to S3.
	SubnetID string `mapstructure:"subnet_id"`
	// The VPC to run the machine in. With no `subnet_id`, the VPC's subnet with most free addresses is taken.
	VpcID string `mapstructure:"vpc_id"`
	// The availability zone to run the machine in. Default: the subnet's, or what AWS chooses.
	AvailabilityZone string `mapstructure:"availability_zone"`
	// The security group of the machine. Default: a temporary one that lets nothing in. Conflicts with
	// `security_group_ids`.
	SecurityGroupID string `mapstructure:"security_group_id"`
	// The security groups of the machine. Default: a temporary one that lets nothing in. Conflicts with
	// `security_group_id`.
	SecurityGroupIDs []string `mapstructure:"security_group_ids"`
	// Give the machine a public address, or do not. Default: what the subnet says. A machine in a subnet with an
	// internet gateway and no NAT needs one to reach package mirrors; nothing connects to it.
	AssociatePublicIPAddress config.Trilean `mapstructure:"associate_public_ip_address"`
	// The name of an IAM instance profile for the machine. Default: none; a bake needs none unless the Image-Source
	// itself calls AWS, or `staging` has `delivery = "profile"`.
	IamInstanceProfile string `mapstructure:"iam_instance_profile"`
	// The name of a key pair to put on the machine, for a look at it after `packer build -on-error=abort`. Default:
	// none. The key is not in the image.
	KeyName string `mapstructure:"key_name"`
	// Tags of the machine and its volumes, beside the bake's own. Values may use build data such as
	// `{{ .SourceAMI }}`. They are put on the image as well.
	RunTags map[string]string `mapstructure:"run_tags"`
	// Further tags of the machine's volumes.
	RunVolumeTags map[string]string `mapstructure:"run_volume_tags"`
	// The machine's disks, where they differ from the source image's. The image is made with them. See
	// [BlockDevice](#block-devices-configuration).
	LaunchBlockDevices []BlockDevice `mapstructure:"launch_block_device_mappings"`
	// The machine's metadata service. See [MetadataOptions](#metadata-options-configuration).
	Metadata MetadataOptions `mapstructure:"metadata_options"`
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
	defaultInstanceType = "t3.nano" // the seed's default: BUILDAMI_TYPE
	optionRequired      = "required"
	optionEnabled       = "enabled"
	optionDisabled      = "disabled"
)

func (c *RunConfig) prepare() ([]string, []error) {
	var errs []error
	if c.InstanceType == "" {
		c.InstanceType = defaultInstanceType
	}
	if c.SecurityGroupID != "" && len(c.SecurityGroupIDs) > 0 {
		errs = append(errs, errors.New("security_group_id and security_group_ids exclude each other: keep one of them"))
	}
	errs = append(errs, c.Metadata.prepare()...)
	for i := range c.LaunchBlockDevices {
		for _, err := range c.LaunchBlockDevices[i].prepare() {
			errs = append(errs, fmt.Errorf("launch_block_device_mappings[%d]: %w", i, err))
		}
	}
	return nil, errs
}

// groups are the security groups the template names; none means a temporary one.
func (c *RunConfig) groups() []string {
	if c.SecurityGroupID != "" {
		return []string{c.SecurityGroupID}
	}
	return c.SecurityGroupIDs
}

func (m *MetadataOptions) prepare() []error {
	var errs []error
	oneOf := func(name string, value *string, byDefault string, others ...string) {
		if err := checkOneOf("metadata_options: "+name, value, byDefault, others...); err != nil {
			errs = append(errs, err)
		}
	}
	oneOf("http_tokens", &m.HTTPTokens, optionRequired, "optional")
	oneOf("instance_metadata_tags", &m.InstanceMetadataTags, optionDisabled, optionEnabled)
	if m.HTTPEndpoint == optionDisabled {
		errs = append(errs, errors.New("metadata_options: http_endpoint is disabled, but cloud-init reads its user data "+
			"there; disable it in the image's launch template instead"))
	} else {
		oneOf("http_endpoint", &m.HTTPEndpoint, optionEnabled)
	}
	if m.HTTPPutResponseHopLimit == 0 {
		m.HTTPPutResponseHopLimit = 1
	}
	if m.HTTPPutResponseHopLimit < 1 || m.HTTPPutResponseHopLimit > 64 {
		errs = append(errs, fmt.Errorf("metadata_options: http_put_response_hop_limit is %d; it must be between 1 and 64",
			m.HTTPPutResponseHopLimit))
	}
	return errs
}

// checkOneOf fills in a default and refuses what is neither that nor one of the others.
func checkOneOf(name string, value *string, byDefault string, others ...string) error {
	if *value == "" {
		*value = byDefault
	}
	if *value == byDefault || slices.Contains(others, *value) || unknown(*value) {
		return nil
	}
	return fmt.Errorf("%s is %q; it must be one of %q", name, *value, append([]string{byDefault}, others...))
}
