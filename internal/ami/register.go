// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// changesBootMode reports whether the image is to boot in another way than its source image. Otherwise the image gets
// the boot mode and the TPM of its source image.
func (c *AttributesConfig) changesBootMode(source *types.Image) bool {
	return c.BootMode != "" && c.BootMode != string(source.BootMode) ||
		c.TPMSupport != "" && c.TPMSupport != string(source.TpmSupport)
}

// bootMode returns the boot mode that the image will have.
func (c *AttributesConfig) bootMode(source *types.Image) string {
	return cmp.Or(c.BootMode, string(source.BootMode))
}

// register makes an image from the snapshots of another. It differs from the other in its boot mode, its TPM and its
// spec.
func (m *Maker) register(ctx context.Context, from *types.Image, bootMode string, s Spec) (types.Image, error) {
	in := &ec2.RegisterImageInput{
		Name:                aws.String(s.Name),
		Description:         awscall.NonZeroPtr(s.Description),
		Architecture:        from.Architecture,
		RootDeviceName:      from.RootDeviceName,
		VirtualizationType:  awscall.NonZeroPtr(string(from.VirtualizationType)),
		EnaSupport:          from.EnaSupport,
		SriovNetSupport:     from.SriovNetSupport,
		ImdsSupport:         from.ImdsSupport,
		BootMode:            types.BootModeValues(bootMode),
		TpmSupport:          types.TpmSupportValues(cmp.Or(m.settings.Attributes.TPMSupport, string(from.TpmSupport))),
		BlockDeviceMappings: mappingsToRegister(from),
		// The snapshots have their tags already.
		TagSpecifications: []types.TagSpecification{awscall.TagSpec(types.ResourceTypeImage, s.ImageTags)},
	}
	m.bake.Say("Registering it anew, for boot_mode and tpm_support...")
	return m.makeImage(ctx, m.home, s.Name, func(ctx context.Context, opts ...func(*ec2.Options)) (*string, error) {
		out, err := m.home.EC2.RegisterImage(ctx, in, opts...)
		if err != nil {
			return nil, fmt.Errorf("register an image of the snapshots of %s: %w", aws.ToString(from.ImageId), err)
		}
		return out.ImageId, nil
	})
}

// typesWithIOPS are the types of volume for which RegisterImage accepts IOPS.
var typesWithIOPS = []types.VolumeType{types.VolumeTypeIo1, types.VolumeTypeIo2, types.VolumeTypeGp3}

// mappingsToRegister returns the disks of an image as RegisterImage accepts them.
func mappingsToRegister(from *types.Image) []types.BlockDeviceMapping {
	var all []types.BlockDeviceMapping
	for _, d := range from.BlockDeviceMappings {
		if d.Ebs != nil {
			ebs := *d.Ebs
			ebs.Encrypted, ebs.KmsKeyId = nil, nil // the snapshot has them, and RegisterImage refuses them
			if !slices.Contains(typesWithIOPS, ebs.VolumeType) {
				ebs.Iops = nil // EC2 derives those of a gp2 volume from its size
			}
			d.Ebs = &ebs
		}
		all = append(all, d)
	}
	return all
}
