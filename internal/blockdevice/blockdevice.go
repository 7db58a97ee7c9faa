// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown
//go:generate go tool -modfile=../../tools/go.mod packer-sdc mapstructure-to-hcl2 -type BlockDevice

// Package blockdevice is the settings of a disk, of a machine or of an image, and what the calls of EC2 take for it.
//
// It may not know what the disk is attached to.
package blockdevice

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// BlockDevice is one disk of the machine, and of the image that is made of it.
type BlockDevice struct {
	// The name the disk is attached under, such as `/dev/xvda` or `/dev/sdf`. Required.
	DeviceName string `mapstructure:"device_name" required:"true"`
	// Delete the disk with its machine. Default: for machines launched from the image `false`, as with amazon-ebs; for
	// the machine that bakes `true`, so that no bake leaves a volume behind, as each does with amazon-ebs. When it is
	// set, it counts for both.
	DeleteOnTermination config.Trilean `mapstructure:"delete_on_termination"`
	// Encrypt the disk, or do not. Default: what its snapshot or the account says.
	Encrypted config.Trilean `mapstructure:"encrypted"`
	// The KMS key to encrypt with: an id, an ARN or an alias. Conflicts with `encrypted = false`. Default: the
	// account's key for EBS.
	KmsKeyID string `mapstructure:"kms_key_id"`
	// Input and output operations per second, for `io1`, `io2` and `gp3`; ignored for other types, as with amazon-ebs.
	IOPS int32 `mapstructure:"iops"`
	// Throughput in MiB per second, 125 at least, for `gp3`.
	Throughput int32 `mapstructure:"throughput"`
	// Leave out this disk of the source image. Default: `false`.
	NoDevice bool `mapstructure:"no_device"`
	// The snapshot the disk starts from.
	SnapshotID string `mapstructure:"snapshot_id"`
	// The name of an instance store disk, `ephemeral0` and on. An instance store disk is not part of the image.
	VirtualName string `mapstructure:"virtual_name"`
	// The type of the volume: `gp2`, `gp3`, `io1`, `io2`, `sc1`, `st1` or `standard`.
	VolumeType string `mapstructure:"volume_type"`
	// The size in GiB. Default: the snapshot's.
	VolumeSize int32 `mapstructure:"volume_size"`
}

var ephemeral = regexp.MustCompile(`^ephemeral\d+$`)

// Check returns what is wrong with the settings of a machine's disk.
func (d *BlockDevice) Check() []error {
	var errs []error
	if d.DeviceName == "" {
		errs = append(errs, errors.New("device_name is needed"))
	}
	if setting.Known(d.KmsKeyID) && d.Encrypted.False() {
		errs = append(errs, errors.New("kms_key_id is for a disk that is encrypted: remove encrypted = false, or the "+
			"key"))
	}
	if setting.Known(d.VirtualName) && !ephemeral.MatchString(d.VirtualName) {
		errs = append(errs, fmt.Errorf("virtual_name is %q; it must be ephemeral and a number", d.VirtualName))
	}
	if d.NoDevice && (d.VolumeSize != 0 || setting.Known(d.VolumeType) || setting.Known(d.SnapshotID)) {
		errs = append(errs, errors.New("no_device leaves the disk out, so it has no size, type or snapshot"))
	}
	if d.Throughput != 0 && !d.typeIs("gp3") {
		errs = append(errs, fmt.Errorf("throughput goes with volume_type gp3, not %q", d.VolumeType))
	}
	if d.VolumeSize < 0 {
		errs = append(errs, fmt.Errorf("volume_size is %d GiB; leave it out for the snapshot's size", d.VolumeSize))
	}
	return errs
}

func (d *BlockDevice) typeIs(names ...string) bool {
	return slices.Contains(names, d.VolumeType) || setting.Unknown(d.VolumeType)
}

// Mapping returns what RunInstances takes.
func (d *BlockDevice) Mapping() types.BlockDeviceMapping {
	m := types.BlockDeviceMapping{DeviceName: aws.String(d.DeviceName)}
	switch {
	case d.NoDevice:
		m.NoDevice = aws.String("")
		return m
	case d.VirtualName != "":
		m.VirtualName = aws.String(d.VirtualName)
		return m
	}
	encrypted := d.Encrypted.ToBoolPointer()
	if d.KmsKeyID != "" {
		encrypted = aws.Bool(true) // which EC2 asks for
	}
	m.Ebs = &types.EbsBlockDevice{
		DeleteOnTermination: aws.Bool(!d.DeleteOnTermination.False()),
		Encrypted:           encrypted,
		KmsKeyId:            awscall.NonZeroPtr(d.KmsKeyID),
		SnapshotId:          awscall.NonZeroPtr(d.SnapshotID),
		VolumeType:          types.VolumeType(d.VolumeType),
		Throughput:          awscall.NonZeroPtr(d.Throughput),
		VolumeSize:          awscall.NonZeroPtr(d.VolumeSize),
	}
	if d.typeIs("io1", "io2", "gp3") {
		m.Ebs.Iops = awscall.NonZeroPtr(d.IOPS)
	}
	return m
}

// CheckForImage returns what is wrong with the settings of an image's disk.
func (d *BlockDevice) CheckForImage() []error {
	errs := d.Check()
	if setting.Known(d.SnapshotID) && d.Encrypted.ToBoolPointer() != nil {
		errs = append(errs, errors.New("encrypted does not go with snapshot_id here, where EC2 takes a disk as "+
			"encrypted as its snapshot is: remove it"))
	}
	if setting.Known(d.KmsKeyID) {
		errs = append(errs, errors.New("kms_key_id is for launch_block_device_mappings; an image is encrypted with "+
			"encrypt_boot and the kms_key_id beside it"))
	}
	return errs
}

// ImageMapping returns what CreateImage takes.
func (d *BlockDevice) ImageMapping() types.BlockDeviceMapping {
	m := d.Mapping()
	if m.Ebs != nil {
		m.Ebs.DeleteOnTermination = aws.Bool(d.DeleteOnTermination.True())
	}
	return m
}

// KeptOnTermination returns the mappings of disks that are deleted with the machine that bakes, and not with those
// launched from its image: amazon-ebs' default for both. It is what EC2 lets be changed of a disk when it makes an
// image. Disks of the machine that the image's settings name are left out.
func KeptOnTermination(machine, image []BlockDevice) []types.BlockDeviceMapping {
	var all []types.BlockDeviceMapping
	for i := range machine {
		d := &machine[i]
		isSet := d.DeleteOnTermination.True() || d.DeleteOnTermination.False() || Has(image, d.DeviceName)
		if isSet || d.NoDevice || d.VirtualName != "" {
			continue
		}
		all = append(all, types.BlockDeviceMapping{
			DeviceName: aws.String(d.DeviceName), Ebs: &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(false)},
		})
	}
	return all
}

// Has reports whether settings name a disk.
func Has(devices []BlockDevice, name string) bool {
	return slices.ContainsFunc(devices, func(d BlockDevice) bool { return d.DeviceName == name })
}
