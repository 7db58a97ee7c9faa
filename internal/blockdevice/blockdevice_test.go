// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package blockdevice

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

const unknown = "<unknown>"

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		disk BlockDevice
		want string // in the only error; "" for none
	}{
		"a name":  {BlockDevice{DeviceName: "/dev/xvda"}, ""},
		"no name": {BlockDevice{VolumeSize: 8}, "device_name is needed"},
		"a key":   {BlockDevice{DeviceName: "/dev/xvda", KmsKeyID: "alias/x"}, ""},
		"a key in the clear": {
			BlockDevice{DeviceName: "/dev/xvda", KmsKeyID: "k", Encrypted: config.TriFalse}, "is encrypted",
		},
		"a key, unknown": {
			BlockDevice{DeviceName: "/dev/xvda", KmsKeyID: unknown, Encrypted: config.TriFalse}, "",
		},
		"an instance store": {BlockDevice{DeviceName: "/dev/sdb", VirtualName: "ephemeral12"}, ""},
		"another virtual": {
			BlockDevice{DeviceName: "/dev/sdb", VirtualName: "ephemeral"}, "must be ephemeral and a number",
		},
		"no device": {BlockDevice{DeviceName: "/dev/sdb", NoDevice: true}, ""},
		"no device of a size": {
			BlockDevice{DeviceName: "/dev/sdb", NoDevice: true, VolumeSize: 8}, "no size, type or snapshot",
		},
		"no device, unknown": {
			BlockDevice{DeviceName: "/dev/sdb", NoDevice: true, VolumeType: unknown, SnapshotID: unknown}, "",
		},
		"throughput":          {BlockDevice{DeviceName: "/dev/sdb", Throughput: 200, VolumeType: "gp3"}, ""},
		"throughput, unknown": {BlockDevice{DeviceName: "/dev/sdb", Throughput: 200, VolumeType: unknown}, ""},
		"throughput of gp2": {
			BlockDevice{DeviceName: "/dev/sdb", Throughput: 200, VolumeType: "gp2"}, "gp3, not \"gp2\"",
		},
		"less than no size": {BlockDevice{DeviceName: "/dev/sdb", VolumeSize: -1}, "-1 GiB"},
	} {
		checkOneError(t, name, c.disk.Check(), c.want)
	}
}

func TestCheckForImage(t *testing.T) {
	for name, c := range map[string]struct {
		disk BlockDevice
		want string
	}{
		"a size":     {BlockDevice{DeviceName: "/dev/sdb", VolumeSize: 8, Encrypted: config.TriTrue}, ""},
		"a snapshot": {BlockDevice{DeviceName: "/dev/sdb", SnapshotID: "snap-1"}, ""},
		"encrypted snapshot": {
			BlockDevice{DeviceName: "/dev/sdb", SnapshotID: "snap-1", Encrypted: config.TriTrue}, "snapshot_id",
		},
		"unencrypted": {
			BlockDevice{DeviceName: "/dev/sdb", SnapshotID: "snap-1", Encrypted: config.TriFalse}, "snapshot_id",
		},
		"an unknown snapshot": {
			BlockDevice{DeviceName: "/dev/sdb", SnapshotID: unknown, Encrypted: config.TriTrue}, "",
		},
		"a key": {
			BlockDevice{DeviceName: "/dev/sdb", KmsKeyID: "k"}, "kms_key_id is for launch_block_device_mappings",
		},
		"an unknown key": {BlockDevice{DeviceName: "/dev/sdb", KmsKeyID: unknown}, ""},
		"no name":        {BlockDevice{}, "device_name is needed"},
	} {
		checkOneError(t, name, c.disk.CheckForImage(), c.want)
	}
}

func checkOneError(t *testing.T, name string, errs []error, want string) {
	t.Helper()
	if want == "" && len(errs) > 0 || want != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), want)) {
		t.Errorf("%s: errors %v, want %q", name, errs, want)
	}
}

func TestMapping(t *testing.T) {
	for name, c := range map[string]struct {
		disk BlockDevice
		want types.BlockDeviceMapping
	}{
		"defaults": {
			BlockDevice{DeviceName: "/dev/xvda"},
			types.BlockDeviceMapping{Ebs: &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(true)}},
		},
		"everything": {
			BlockDevice{
				DeviceName: "/dev/xvda", KmsKeyID: "alias/x", IOPS: 3000, Throughput: 200, VolumeType: "gp3",
				VolumeSize: 9,
				SnapshotID: "snap-1", DeleteOnTermination: config.TriFalse,
			},
			types.BlockDeviceMapping{Ebs: &types.EbsBlockDevice{
				DeleteOnTermination: aws.Bool(false), Encrypted: aws.Bool(true), KmsKeyId: aws.String("alias/x"),
				Iops: aws.Int32(3000), Throughput: aws.Int32(200), VolumeType: types.VolumeTypeGp3,
				VolumeSize: aws.Int32(9),
				SnapshotId: aws.String("snap-1"),
			}},
		},
		"iops of a type without": {
			BlockDevice{DeviceName: "/dev/xvda", IOPS: 100, VolumeType: "gp2", Encrypted: config.TriFalse},
			types.BlockDeviceMapping{Ebs: &types.EbsBlockDevice{
				DeleteOnTermination: aws.Bool(true), Encrypted: aws.Bool(false), VolumeType: types.VolumeTypeGp2,
			}},
		},
		"no device": {
			BlockDevice{DeviceName: "/dev/xvda", NoDevice: true, VirtualName: "ephemeral0"},
			types.BlockDeviceMapping{NoDevice: aws.String("")},
		},
		"an instance store": {
			BlockDevice{DeviceName: "/dev/xvda", VirtualName: "ephemeral0"},
			types.BlockDeviceMapping{VirtualName: aws.String("ephemeral0")},
		},
	} {
		c.want.DeviceName = aws.String("/dev/xvda")
		if diff := cmp.Diff(c.want, c.disk.Mapping(), ignoreUnexported); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

var ignoreUnexported = cmpopts.IgnoreUnexported(types.BlockDeviceMapping{}, types.EbsBlockDevice{})

func TestImageMappingKeepsDisksUnlessTemplateSaysOtherwise(t *testing.T) {
	for setting, want := range map[config.Trilean]bool{
		config.TriUnset: false, config.TriFalse: false, config.TriTrue: true,
	} {
		d := BlockDevice{DeviceName: "/dev/sdb", DeleteOnTermination: setting}
		if got := aws.ToBool(d.ImageMapping().Ebs.DeleteOnTermination); got != want {
			t.Errorf("with %v it is deleted: %t, want %t", setting, got, want)
		}
	}
	d := BlockDevice{DeviceName: "/dev/sdb", VirtualName: "ephemeral0"}
	if d.ImageMapping().Ebs != nil {
		t.Error("an instance store has a volume")
	}
}

func TestKeptOnTermination(t *testing.T) {
	machine := []BlockDevice{
		{DeviceName: "/dev/xvda"}, {DeviceName: "/dev/sdb", DeleteOnTermination: config.TriTrue},
		{DeviceName: "/dev/sdc", DeleteOnTermination: config.TriFalse}, {DeviceName: "/dev/sdd", NoDevice: true},
		{DeviceName: "/dev/sde", VirtualName: "ephemeral0"}, {DeviceName: "/dev/sdf"},
	}
	image := []BlockDevice{{DeviceName: "/dev/sdf", DeleteOnTermination: config.TriTrue}}
	want := []types.BlockDeviceMapping{
		{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(false)}},
	}
	if diff := cmp.Diff(want, KeptOnTermination(machine, image), ignoreUnexported); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !aws.ToBool(machine[0].Mapping().Ebs.DeleteOnTermination) {
		t.Error("the bake leaves a volume behind")
	}
}

func TestHas(t *testing.T) {
	disks := []BlockDevice{{DeviceName: "/dev/xvda"}}
	if !Has(disks, "/dev/xvda") || Has(disks, "/dev/sdb") || Has(nil, "/dev/xvda") {
		t.Error("it is wrong which disks the settings name")
	}
}
