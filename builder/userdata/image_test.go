// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

func TestImageIsCreatedOnceInEachRegion(t *testing.T) {
	b, artifact, err := runBuild(t, func(b *testBuild) {
		b.copyToOtherRegions()
		b.config.Tags = map[string]string{"{{ .SourceAMIName }}": "key and {{ .BuildRegion }}"}
		b.config.SnapshotTag = config.KeyValues{{Key: "kind", Value: "snapshot"}}
		b.config.SnapshotCopyDurationMinutes = new(int64)
		*b.config.SnapshotCopyDurationMinutes = 30
	})
	if err != nil {
		t.Fatal(err)
	}
	b.checkImages("ap-south-1 hello-1", "eu-west-1 hello-1", "us-east-1 hello-1")
	for _, region := range []string{"us-east-1", "eu-west-1", "ap-south-1"} {
		i := b.account.ImageNamed(region, "hello-1")
		snapshot := b.account.RootSnapshot(i)
		for key, want := range map[string]string{
			bake.TagBake: awsfake.BakeID, "debian-12": "key and us-east-1", bake.TagExpires: "",
		} {
			if i.Tags[key] != want || snapshot.Tags[key] != want {
				t.Errorf("tag %s in %s is %q and of the snapshot %q, want %q",
					key, region, i.Tags[key], snapshot.Tags[key], want)
			}
		}
		if got := snapshot.Tags["kind"]; got != "snapshot" {
			t.Errorf("the snapshot's own tag in %s is %q", region, got)
		}
	}
	got := b.account.Requests["CopyImage"]
	if got.Get("SnapshotCopyCompletionDurationMinutes") != "30" || got.Get("SourceRegion") != "us-east-1" ||
		got.Get("Description") != "hello-1" || got.Has("Encrypted") {
		t.Errorf("the image was copied with %v", got)
	}
	if n := strings.Count(artifact.Id(), ","); n != 2 {
		t.Errorf("the artifact is %s", artifact.Id())
	}
	synctest.Test(t, func(t *testing.T) {
		if err := artifact.Destroy(); err != nil {
			t.Error(err)
		}
	})
	b.checkNothingLeft()
}

// Besides those that watch the machine and the image, these are all the calls of a bake with few settings.
func TestBakeMakesNoCallForSettingsThatAreNotSet(t *testing.T) {
	b, _, err := runBuild(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := b.account.Count("DescribeTags"); n != 1 {
		t.Errorf("the sweep made %d calls, and there is nothing to sweep", n)
	}
	calls := slices.DeleteFunc(b.account.Calls, func(name string) bool {
		watching := []string{"GetConsoleOutput", "DescribeInstances", "DescribeImages", "DescribeTags"}
		return slices.Contains(watching, name)
	})
	if diff := cmp.Diff([]string{
		"GetCallerIdentity", "DescribeInstanceTypes", "DescribeVpcs", "CreateSecurityGroup", "CreateTags",
		"RunInstances",
		"CreateTags", "CreateImage", "CreateTags", "CreateTags", "DeleteTags", "TerminateInstances",
		"DeleteSecurityGroup",
	}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestImageIsEncryptedByCopyAndIntermediaryIsRemoved(t *testing.T) {
	keys := map[string]string{"us-east-1": "alias/home", "eu-west-1": "alias/away", "ap-south-1": ""}
	b, artifact, err := runBuild(t, func(b *testBuild) {
		b.copyToOtherRegions()
		b.config.EncryptBoot = config.TriTrue
		b.config.KMSKeyID = "alias/never-used"
		b.config.RegionKMSKeyIDs = keys
	})
	if err != nil {
		t.Fatal(err)
	}
	b.checkImages("ap-south-1 hello-1", "eu-west-1 hello-1", "us-east-1 hello-1")
	for region, key := range keys {
		s := b.account.RootSnapshot(b.account.ImageNamed(region, "hello-1"))
		if !s.Encrypted || s.KMSKey != key || s.Tags[bake.TagExpires] != "" {
			t.Errorf("the snapshot in %s is %+v, want the key %q", region, s, key)
		}
	}
	if len(b.account.Snapshots) != 3 {
		t.Errorf("%d snapshots, want one for each region", len(b.account.Snapshots))
	}
	if strings.Contains(artifact.Id(), awsfake.NewImageID) {
		t.Errorf("the intermediary image is in the artifact: %s", artifact.Id())
	}
}

func TestSkipSaveBuildRegionKeepsNoImageThere(t *testing.T) {
	b, artifact, err := runBuild(t, func(b *testBuild) {
		b.account.AddImage("us-east-1", awsfake.ExistingImageID, "hello-1") // does not matter
		b.config.AMIRegions, b.config.SkipSaveBuildRegion = []string{"eu-west-1"}, true
	})
	if err != nil {
		t.Fatal(err)
	}
	b.checkImages("eu-west-1 hello-1", "us-east-1 hello-1")
	if !strings.HasPrefix(artifact.Id(), "eu-west-1:") || strings.Contains(artifact.Id(), ",") {
		t.Errorf("the artifact is %s", artifact.Id())
	}
}

func TestImageIsRegisteredAgainToChangeBootMode(t *testing.T) {
	for name, set := range map[string]func(*testBuild){
		"in the region of the build": func(*testBuild) {},
		"in the place of another image": func(b *testBuild) {
			b.account.AddImage("us-east-1", awsfake.ExistingImageID, "hello-1")
		},
		"and copied and encrypted": func(b *testBuild) {
			b.config.EncryptBoot = config.TriTrue
			b.copyToOtherRegions()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.account.SourceImageXML = "<bootMode>legacy-bios</bootMode>" +
					"<usageOperation>RunInstances</usageOperation>"
				b.config.BootMode, b.config.TPMSupport, b.config.ForceDeregister = "uefi", "v2.0", true
				set(b)
			})
			if err != nil {
				t.Fatal(err)
			}
			form := b.account.Requests["RegisterImage"]
			for name, want := range map[string]string{
				"BootMode": "uefi", "TpmSupport": "v2.0",
				"BlockDeviceMapping.1.Ebs.SnapshotId": awsfake.NewSnapshotID,
				"BlockDeviceMapping.1.Ebs.Encrypted":  "", "TagSpecification.2.ResourceType": "",
			} {
				if form.Get(name) != want {
					t.Errorf("%s is %q, want %q", name, form.Get(name), want)
				}
			}
			i := b.account.ImageNamed("us-east-1", "hello-1")
			if s := b.account.RootSnapshot(i); s == nil || s.Tags[bake.TagExpires] != "" || i.Existing {
				t.Errorf("the image is %+v, its snapshot %+v", i, s)
			}
			if len(b.account.Images) != len(b.imageRegions()) || len(b.account.Snapshots) > len(b.account.Images)+1 {
				t.Errorf("images %q, %d snapshots", b.account.ImageNames(), len(b.account.Snapshots))
			}
		})
	}
}

func TestBakeSetsAttributesOfImage(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.copyToOtherRegions()
		b.setEveryImageAttribute()
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{"us-east-1", "eu-west-1", "ap-south-1"} {
		i := b.account.ImageNamed(region, "hello-1")
		if diff := cmp.Diff([]string{
			"ImdsSupport.Value=v2.0", "ProductCode.1=abc",
			"LaunchPermission.Add.1.UserId=111111111111", "LaunchPermission.Add.2.UserId=222222222222",
			"LaunchPermission.Add.3.OrganizationArn=arn:aws:organizations::111111111111:organization/o-1",
			"LaunchPermission.Add.4.OrganizationalUnitArn=arn:aws:organizations::111111111111:ou/o-1/ou-1-2",
			"DeprecateAt=2001-02-03T04:05:06Z", "WithCooldown=true",
		}, i.Attributes); diff != "" {
			t.Errorf("attributes in %s (-want +got):\n%s", region, diff)
		}
		if diff := cmp.Diff([]string{
			"CreateVolumePermission.Add.1.UserId=333333333333", "CreateVolumePermission.Add.2.Group=all",
		}, b.account.RootSnapshot(i).Attributes); diff != "" {
			t.Errorf("attributes of the snapshot in %s (-want +got):\n%s", region, diff)
		}
	}
	for name, want := range map[string]string{
		"BlockDeviceMapping.1.VirtualName": "ephemeral0", "BlockDeviceMapping.2.Ebs.VolumeSize": "9",
		"BlockDeviceMapping.2.Ebs.DeleteOnTermination": "false",
	} {
		if got := b.account.Requests["CreateImage"].Get(name); got != want {
			t.Errorf("CreateImage: %s is %q, want %q", name, got, want)
		}
	}
	if tags := b.account.ImageNamed("us-east-1", "hello-1").Tags; tags["team"] != "" {
		t.Errorf("the machine's tags are on the image: %v", tags)
	}
	if b.account.Count("ModifyInstanceAttribute") != 2 {
		t.Error("ENA and SR-IOV were not both set")
	}
}

func TestBakeRetriesWhenNewImageIsNotVisibleYet(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.copyToOtherRegions()
		b.setEveryImageAttribute()
		b.config.BootMode = "uefi"
		for _, action := range []string{
			"RegisterImage", "CopyImage", "ModifyImageAttribute", "EnableImageDeprecation",
		} {
			b.account.FailBefore[action] = awsfake.FirstCalls(2, 400, awscall.CodeImageNotFound)
		}
		b.account.FailBefore["ModifyInstanceAttribute"] = awsfake.FirstCalls(2, 400, awscall.CodeInstanceState)
		b.account.FailBefore["CreateImage"] = awsfake.Then(func() { b.account.ImagePendingFor = 0 })
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(b.account.ImageNames()); got != 3 {
		t.Errorf("%d images: %v", got, b.account.ImageNames())
	}
}

func TestBakeWithoutRegionForImageIsRefused(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) { // only the environment names the region
		b.config.SkipSaveBuildRegion, b.config.AMIRegions = true, []string{"us-east-1"}
	})
	if err == nil || !strings.Contains(err.Error(), "names no other region") || b.launched() {
		t.Errorf("the error is %v", err)
	}
}

func TestBakeChecksImageSettingsBeforeLaunch(t *testing.T) {
	for want, set := range map[string]func(*testBuild){
		"whose bake was killed before it was complete": func(b *testBuild) {
			image := b.account.AddImage("us-east-1", awsfake.ExistingImageID, "hello-1")
			image.Tags = map[string]string{bake.TagExpires: "2000-01-01T00:00:00Z"}
		},
		"is taken by " + awsfake.ExistingImageID + " in eu-west-1": func(b *testBuild) {
			b.account.AddImage("eu-west-1", awsfake.ExistingImageID, "hello-1")
			b.copyToOtherRegions()
		},
		`region "mars-1" does not exist`: func(b *testBuild) { b.config.AMIRegions = []string{"mars-1"} },
		"is protected from deregistration": func(b *testBuild) {
			b.account.AddImage("us-east-1", awsfake.ExistingImageID, "hello-1").Protection = "enabled-without-cooldown"
			b.config.ForceDeregister = true
		},
		"loses what it is paid by": func(b *testBuild) {
			b.account.SourceImageXML = "<usageOperation>RunInstances:0010</usageOperation>" +
				"<platformDetails>Red Hat Enterprise Linux</platformDetails>"
			b.config.BootMode = "uefi"
		},
		"tpm_support needs the boot mode uefi": func(b *testBuild) { b.config.TPMSupport = "v2.0" },
		"virtualization type hvm": func(b *testBuild) {
			b.account.SourceImageXML = "<virtualizationType>paravirtual</virtualizationType>"
			b.config.SriovSupport = true
		},
		"no disk /dev/sdb": func(b *testBuild) {
			b.account.SourceImageXML = "<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName></item>" +
				"</blockDeviceMapping>"
			b.config.AMIBlockDevices = []blockDevice{
				{DeviceName: "/dev/xvda"}, {DeviceName: "/dev/sdb", VolumeType: "gp3"},
			}
		},
		"has 261 characters": func(b *testBuild) {
			b.config.Tags = map[string]string{"long": strings.Repeat("x", 252) + "{{ .SourceAMIName }}"}
		},
	} {
		b, _, err := runBuild(t, set)
		if err == nil || !strings.Contains(err.Error(), want) || b.launched() {
			t.Errorf("want %q, got %v after %v", want, err, b.account.Calls)
		}
	}
}

// EC2 allows fifty tags, the bake's own included: that with the image's own id comes when the image is there.
func TestBakeRefusesMoreTagsThanEC2Allows(t *testing.T) {
	runWithTags := func(n int) (*testBuild, int, error) {
		b, _, err := runBuild(t, func(b *testBuild) {
			b.config.Tags = map[string]string{}
			for i := range n {
				b.config.Tags["{{ .SourceAMI }}"+strings.Repeat("x", i)] = "" // which nobody knows before the bake
			}
		})
		tags := 0
		for key := range b.account.Requests["CreateImage"] {
			if strings.HasPrefix(key, "TagSpecification.1.Tag.") && strings.HasSuffix(key, ".Key") {
				tags++
			}
		}
		return b, tags, err
	}
	_, own, err := runWithTags(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, tags, err := runWithTags(49 - own); err != nil || tags != 49 {
		t.Errorf("%v with %d tags beside %d", err, tags, own)
	}
	b, _, err := runWithTags(50 - own)
	checkErrorSays(t, err, "would have 51 tags")
	if b.launched() {
		t.Errorf("launched after %v", b.account.Calls)
	}
}
