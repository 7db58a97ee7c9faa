// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
)

func TestCleanResourceName(t *testing.T) {
	for given, want := range map[string]string{"a:b": "a-b", "(a) [b] ./-'@_": "(a) [b] ./-'@_", "é": "--"} {
		if got := cleanResourceName(given); got != want {
			t.Errorf("cleanResourceName(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestATemporaryNameIsNotTooLong(t *testing.T) {
	f := newFixture(t, func(f *fixture) { f.settings.Image.AMIName = strings.Repeat("x", 128) })
	got := f.Maker.temporaryName(purposeCopy)
	if len(got) != 128 || !strings.HasSuffix(got, "x (intermediary "+testBake+")") || !imageName.MatchString(got) {
		t.Errorf("the name is %q", got)
	}
}

func TestCheckNamesRefuses(t *testing.T) {
	for want, set := range map[string]func(*fixture){
		"": func(f *fixture) { f.accounts[home].addOld("ami-old", "hello-1 ") },
		"the name \"hello-1\" is taken by ami-old in us-east-1: choose": func(f *fixture) {
			f.accounts[home].addOld("ami-old", "hello-1")
		},
		"is taken by ami-old in eu-west-1": func(f *fixture) {
			f.accounts[away].addOld("ami-old", "hello-1")
			abroad(f)
		},
		"whose bake was killed before it was complete": func(f *fixture) {
			f.accounts[home].addOld("ami-old", "hello-1").Tags = []types.Tag{
				{Key: aws.String(bake.TagExpires), Value: aws.String("2000-01-01T00:00:00Z")},
			}
		},
		"is protected from deregistration": func(f *fixture) {
			old := f.accounts[home].addOld("ami-old", "hello-1")
			old.DeregistrationProtection = aws.String("enabled-without-cooldown")
			f.settings.Image.ForceDeregister = true
		},
		`region "mars-1" does not exist`: func(f *fixture) { f.settings.Copy.AMIRegions = []string{"mars-1"} },
		`region "venus-1" does not exist`: func(f *fixture) {
			f.settings.Copy.RegionKMSKeyIDs = map[string]string{"venus-1": ""}
		},
		"skip_region_validation leaves": func(f *fixture) {
			abroad(f)
			f.accounts[home].refuse["DescribeRegions"] = always("x")
		},
		"ami_regions names no other region": func(f *fixture) {
			f.settings.Copy.AMIRegions, f.settings.Copy.SkipSaveBuildRegion = []string{home}, true
		},
	} {
		f := newFixture(t, func(f *fixture) {
			f.accounts["mars-1"] = newAccount("mars-1")
			set(f)
		})
		err := f.Maker.CheckNames(t.Context(), false)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestCheckNamesAcceptsWhatIsReplacedReusedOrNotMade(t *testing.T) {
	for name, set := range map[string]func(*fixture){
		"replaced": func(f *fixture) { f.settings.Image.ForceDeregister = true },
		"reused": func(f *fixture) {
			f.settings.Image.ReuseUnchanged = true
			f.accounts[home].images["ami-old"].Tags = []types.Tag{
				{Key: aws.String(bake.TagInputs), Value: aws.String("0123")},
			}
		},
		"not made": func(f *fixture) { f.settings.Image.SkipCreateAMI = true },
	} {
		f := newFixture(t, func(f *fixture) {
			f.accounts[home].addOld("ami-old", "hello-1")
			set(f)
		})
		if err := f.Maker.CheckNames(t.Context(), true); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := f.Maker.CheckNames(t.Context(), false); (err != nil) != (name == "reused") {
			t.Errorf("%s, when it cannot be reused: %v", name, err)
		}
		if name == "not made" && slices.Contains(f.accounts[home].calls, "DescribeImages") {
			t.Error("it looked for images")
		}
	}
}

func TestCheckSource(t *testing.T) {
	paid := &types.Image{
		BootMode: "legacy-bios", UsageOperation: aws.String("RunInstances:0010"),
		PlatformDetails: aws.String("Red Hat Enterprise Linux"),
	}
	withDisk := &types.Image{BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda")}}}
	sdb := []blockdevice.BlockDevice{{DeviceName: "/dev/xvda"}, {DeviceName: "/dev/sdb", VolumeType: "gp3"}}
	for name, c := range map[string]struct {
		set     func(*fixture)
		source  *types.Image
		machine []blockdevice.BlockDevice
		want    string
	}{
		"another boot mode of a paid image": {
			func(f *fixture) { f.settings.Attributes.BootMode = "uefi" }, paid, nil,
			"(Red Hat Enterprise Linux): an image that is registered anew",
		},
		"the same boot mode of a paid image": {
			func(f *fixture) { f.settings.Attributes.BootMode = "legacy-bios" }, paid, nil, "",
		},
		"no image": {
			func(f *fixture) { f.settings.Attributes.BootMode, f.settings.Image.SkipCreateAMI = "uefi", true }, paid,
			nil, "",
		},
		"a TPM without UEFI": {
			func(f *fixture) { f.settings.Attributes.TPMSupport = "v2.0" }, new(types.Image), nil,
			"tpm_support needs the boot mode uefi",
		},
		"a TPM and UEFI": {
			func(f *fixture) { f.settings.Attributes.TPMSupport = "v2.0" }, &types.Image{BootMode: "uefi"}, nil, "",
		},
		"SR-IOV without hvm": {
			func(f *fixture) { f.settings.Attributes.SriovSupport = true },
			&types.Image{VirtualizationType: "paravirtual"}, nil, "virtualization type hvm",
		},
		"no ENA without hvm": {
			func(f *fixture) { f.settings.Attributes.ENASupport = config.TriFalse },
			&types.Image{VirtualizationType: "paravirtual"}, nil, "",
		},
		"a new disk without a size": {
			func(f *fixture) { f.settings.Image.AMIBlockDevices = sdb }, withDisk, nil,
			"ami_block_device_mappings[1]: the machine has no disk /dev/sdb",
		},
		"a disk of the machine": {
			func(f *fixture) { f.settings.Image.AMIBlockDevices = sdb }, withDisk, sdb, "",
		},
		"a disk of a source image whose disks are not known": {
			func(f *fixture) { f.settings.Image.AMIBlockDevices = sdb }, new(types.Image), nil, "",
		},
	} {
		f := newFixture(t, c.set)
		err := f.Maker.CheckSource(c.source, c.machine)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, got %v", name, c.want, err)
		}
	}
}

func TestOnlyTheSnapshotsOfTheImageAreItsOwn(t *testing.T) {
	image := &types.Image{BlockDeviceMappings: []types.BlockDeviceMapping{
		{Ebs: &types.EbsBlockDevice{SnapshotId: aws.String("snap-1")}}, {VirtualName: aws.String("ephemeral0")},
		{Ebs: &types.EbsBlockDevice{SnapshotId: aws.String("snap-template")}},
	}}
	c := &ImageConfig{AMIBlockDevices: []blockdevice.BlockDevice{{DeviceName: "/dev/sdb", SnapshotID: "snap-template"}}}
	if got := c.OwnSnapshots(image); !slices.Equal(got, []string{"snap-1"}) {
		t.Errorf("own snapshots: %q", got)
	}
}
