// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
)

// CheckSource checks that an image with these settings can be made of a machine that was launched from source with
// the disks machineDevices. EC2 would find these problems when the machine has run.
func (m *Maker) CheckSource(source *types.Image, machineDevices []blockdevice.BlockDevice) error {
	return errors.Join(m.checkAttributes(source), m.settings.Image.checkDisks(source, machineDevices))
}

// checkAttributes refuses attributes that EC2 would refuse, or with which it would make an image that does not work.
func (m *Maker) checkAttributes(source *types.Image) error {
	c := m.settings.Attributes
	id, virtualization := aws.ToString(source.ImageId), source.VirtualizationType
	var errs []error
	if c.enhancesNetworking() && c.AMIVirtType == "" && virtualization != "" &&
		virtualization != types.VirtualizationTypeHvm {
		errs = append(errs, fmt.Errorf("ena_support and sriov_support need a source image of virtualization type hvm; "+
			"%s is %s", id, virtualization))
	}
	if m.settings.Image.SkipCreateAMI || !c.changesBootMode(source) {
		return errors.Join(errs...)
	}
	if mode := c.bootMode(source); c.TPMSupport != "" && mode != bootUEFI {
		errs = append(errs, fmt.Errorf("tpm_support needs the boot mode uefi, and source image %s has %q: set "+
			"boot_mode = %q if the disk can boot so", id, mode, bootUEFI))
	}
	// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/billing-info-fields.html: only plain Linux is RunInstances.
	usage := aws.ToString(source.UsageOperation)
	if usage != "" && usage != "RunInstances" || len(source.ProductCodes) > 0 {
		errs = append(errs, fmt.Errorf("boot_mode and tpm_support cannot differ from those of source image %s (%s): "+
			"an image that is registered anew loses what it is paid by, and may not start; leave them out, or choose "+
			"another source image", id, aws.ToString(source.PlatformDetails)))
	}
	return errors.Join(errs...)
}

// checkDisks checks that a disk that only the image has is described well enough to be made.
func (c *ImageConfig) checkDisks(source *types.Image, machineDevices []blockdevice.BlockDevice) error {
	inSource := func(name string) bool {
		return slices.ContainsFunc(source.BlockDeviceMappings, func(m types.BlockDeviceMapping) bool {
			return aws.ToString(m.DeviceName) == name
		})
	}
	var errs []error
	for i := range c.AMIBlockDevices {
		d := &c.AMIBlockDevices[i]
		onMachine := len(source.BlockDeviceMappings) == 0 || // EC2 does not say what the source image has
			inSource(d.DeviceName) || blockdevice.Has(machineDevices, d.DeviceName)
		if onMachine || d.NoDevice || d.VirtualName != "" {
			continue
		}
		if d.VolumeSize == 0 && d.SnapshotID == "" {
			errs = append(errs, fmt.Errorf("ami_block_device_mappings[%d]: the machine has no disk %s, so it is a "+
				"new one of the image's and needs volume_size or snapshot_id", i, d.DeviceName))
		}
	}
	return errors.Join(errs...)
}
