// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// reboots tells whether the image is to boot otherwise than its source image does. Else it has that from it.
func (b *bake) reboots() bool {
	c := &b.config.TraitsConfig
	return c.BootMode != "" && c.BootMode != string(b.source.BootMode) ||
		c.TPMSupport != "" && c.TPMSupport != string(b.source.TpmSupport)
}

// checkTraits refuses what EC2 would refuse, or would do and spoil the image by it, once the machine has run.
func (b *bake) checkTraits() error {
	c := &b.config.TraitsConfig
	source := aws.ToString(b.source.ImageId)
	var errs []error
	if v := b.source.VirtualizationType; c.enhances() && c.AMIVirtType == "" && v != "" && v != types.VirtualizationTypeHvm {
		errs = append(errs, fmt.Errorf("ena_support and sriov_support need a source image of virtualization type hvm; %s is %s", source, v))
	}
	if b.config.SkipCreateAMI || !b.reboots() {
		return errors.Join(errs...)
	}
	if mode := b.bootMode(); c.TPMSupport != "" && mode != bootUEFI {
		errs = append(errs, fmt.Errorf("tpm_support needs the boot mode uefi, and source image %s has %q: set boot_mode = %q if the "+
			"disk can boot so", source, mode, bootUEFI))
	}
	// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/billing-info-fields.html: only plain Linux is RunInstances.
	if usage := aws.ToString(b.source.UsageOperation); usage != "" && usage != "RunInstances" || len(b.source.ProductCodes) > 0 {
		errs = append(errs, fmt.Errorf("boot_mode and tpm_support cannot differ from those of source image %s (%s): an image that is "+
			"registered anew loses what it is paid by, and may not start; leave them out, or choose another source image",
			source, aws.ToString(b.source.PlatformDetails)))
	}
	return errors.Join(errs...)
}

// bootMode is the one the image will have.
func (b *bake) bootMode() string {
	if b.config.BootMode != "" {
		return b.config.BootMode
	}
	return string(b.source.BootMode)
}

// withIOPS are the types of volume whose IOPS can be asked for.
var withIOPS = []types.VolumeType{types.VolumeTypeIo1, types.VolumeTypeIo2, types.VolumeTypeGp3}

// register makes an image of the snapshots of another. Apart from the boot mode and the TPM, it is the same.
func (b *bake) register(ctx context.Context, from *types.Image, o outline) (types.Image, error) {
	in := &ec2.RegisterImageInput{
		Name:               aws.String(o.name),
		Description:        some(o.description),
		Architecture:       from.Architecture,
		RootDeviceName:     from.RootDeviceName,
		VirtualizationType: some(string(from.VirtualizationType)),
		EnaSupport:         from.EnaSupport,
		SriovNetSupport:    from.SriovNetSupport,
		ImdsSupport:        from.ImdsSupport,
		BootMode:           types.BootModeValues(b.bootMode()),
		TpmSupport:         types.TpmSupportValues(cmp.Or(b.config.TPMSupport, string(from.TpmSupport))),
		TagSpecifications:  []types.TagSpecification{tagSpec(types.ResourceTypeImage, o.image)}, // the snapshots have theirs
	}
	for _, d := range from.BlockDeviceMappings {
		if d.Ebs != nil {
			ebs := *d.Ebs
			ebs.Encrypted, ebs.KmsKeyId = nil, nil // the snapshot's, and not to be said again
			if !slices.Contains(withIOPS, ebs.VolumeType) {
				ebs.Iops = nil // of a gp2 it is what its size gives it, and not to be asked for
			}
			d.Ebs = &ebs
		}
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, d)
	}
	b.say("Registering it anew, for boot_mode and tpm_support...")
	return b.make(ctx, b.home, o.name, func(ctx context.Context) (*string, error) {
		out, err := b.aws.ec2.RegisterImage(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("register an image of the snapshots of %s: %w", aws.ToString(from.ImageId), err)
		}
		return out.ImageId, nil
	})
}
