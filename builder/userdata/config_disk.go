// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
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
	// The KMS key to encrypt with: an id, an ARN or an alias. Conflicts with `encrypted = false`. Default: the account's
	// key for EBS.
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

func (d *BlockDevice) prepare() []error {
	var errs []error
	if d.DeviceName == "" {
		errs = append(errs, errors.New("device_name is needed"))
	}
	if known(d.KmsKeyID) && d.Encrypted.False() {
		errs = append(errs, errors.New("kms_key_id is for a disk that is encrypted: remove encrypted = false, or the key"))
	}
	if known(d.VirtualName) && !ephemeral.MatchString(d.VirtualName) {
		errs = append(errs, fmt.Errorf("virtual_name is %q; it must be ephemeral and a number", d.VirtualName))
	}
	if d.NoDevice && (d.VolumeSize != 0 || known(d.VolumeType) || known(d.SnapshotID)) {
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
	return slices.Contains(names, d.VolumeType) || unknown(d.VolumeType)
}

// mapping is what RunInstances takes.
func (d *BlockDevice) mapping() types.BlockDeviceMapping {
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
		KmsKeyId:            some(d.KmsKeyID),
		SnapshotId:          some(d.SnapshotID),
		VolumeType:          types.VolumeType(d.VolumeType),
		Throughput:          some(d.Throughput),
		VolumeSize:          some(d.VolumeSize),
	}
	if d.typeIs("io1", "io2", "gp3") {
		m.Ebs.Iops = some(d.IOPS)
	}
	return m
}

// some is a pointer to v, or nil when v is not set.
func some[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
