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
)

func TestImagesAreMadeInEveryRegionOnce(t *testing.T) {
	o, artifact, err := bakes(t, func(o *oven) {
		abroad(o)
		o.config.Tags = map[string]string{"{{ .SourceAMIName }}": "key and {{ .BuildRegion }}"}
		o.config.SnapshotTag = config.KeyValues{{Key: "kind", Value: "snapshot"}}
		o.config.SnapshotCopyDurationMinutes = new(int64)
		*o.config.SnapshotCopyDurationMinutes = 30
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ap-south-1 hello-1", "eu-west-1 hello-1", "us-east-1 hello-1"}, o.cloud.named()); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	for _, region := range []string{"us-east-1", "eu-west-1", "ap-south-1"} {
		i := o.image(region, "hello-1")
		for key, want := range map[string]string{tagBake: testBake, "debian-12": "key and us-east-1", tagExpires: ""} {
			if i.tags[key] != want || o.cloud.snapshots[i.snapshots[0]].tags[key] != want {
				t.Errorf("tag %s in %s is %q and of the snapshot %q, want %q", key, region, i.tags[key],
					o.cloud.snapshots[i.snapshots[0]].tags[key], want)
			}
		}
		if got := o.cloud.snapshots[i.snapshots[0]].tags["kind"]; got != "snapshot" {
			t.Errorf("the snapshot's own tag in %s is %q", region, got)
		}
	}
	if got := o.cloud.form["CopyImage"]; got.Get("SnapshotCopyCompletionDurationMinutes") != "30" || got.Get("SourceRegion") != "us-east-1" ||
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
	if left := o.cloud.left(); len(left) > 0 {
		t.Errorf("left behind by Destroy: %v", left)
	}
}

// The watching left out, these are all the calls of a plain bake: what is not set costs none.
func TestPlainBakeMakesNoCallForWhatIsNotSet(t *testing.T) {
	o, _, err := bakes(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := o.cloud.count("DescribeTags"); n != 1 {
		t.Errorf("the sweep made %d calls, and there is nothing to sweep", n)
	}
	calls := slices.DeleteFunc(o.cloud.calls, func(name string) bool {
		return name == "GetConsoleOutput" || name == "DescribeInstances" || name == "DescribeImages" || name == "DescribeTags"
	})
	if diff := cmp.Diff([]string{
		"GetCallerIdentity", "DescribeInstanceTypes", "DescribeVpcs", "CreateSecurityGroup", "RunInstances", "CreateImage", "DeleteTags",
		"TerminateInstances", "DeleteSecurityGroup",
	}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestImageIsEncryptedByACopyAndTheIntermediaryGoes(t *testing.T) {
	o, artifact, err := bakes(t, func(o *oven) {
		abroad(o)
		o.config.EncryptBoot = config.TriTrue
		o.config.KMSKeyID = "alias/never-used"
		o.config.RegionKMSKeyIDs = map[string]string{"us-east-1": "alias/home", "eu-west-1": "alias/away", "ap-south-1": ""}
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ap-south-1 hello-1", "eu-west-1 hello-1", "us-east-1 hello-1"}, o.cloud.named()); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	for region, key := range map[string]string{"us-east-1": "alias/home", "eu-west-1": "alias/away", "ap-south-1": ""} {
		s := o.cloud.snapshots[o.image(region, "hello-1").snapshots[0]]
		if !s.encrypted || s.key != key || s.tags[tagExpires] != "" {
			t.Errorf("the snapshot in %s is %+v, want the key %q", region, s, key)
		}
	}
	if len(o.cloud.snapshots) != 3 {
		t.Errorf("%d snapshots, want one for each region", len(o.cloud.snapshots))
	}
	if strings.Contains(artifact.Id(), newID) {
		t.Errorf("the intermediary image is in the artifact: %s", artifact.Id())
	}
}

func TestImageIsNotKeptInTheRegionOfTheBuild(t *testing.T) {
	o, artifact, err := bakes(t, func(o *oven) {
		o.cloud.oldImage("us-east-1", oldID, "hello-1") // does not matter
		o.config.AMIRegions, o.config.SkipSaveBuildRegion = []string{"eu-west-1"}, true
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"eu-west-1 hello-1", "us-east-1 hello-1"}, o.cloud.named()); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(artifact.Id(), "eu-west-1:") || strings.Contains(artifact.Id(), ",") {
		t.Errorf("the artifact is %s", artifact.Id())
	}
}

func TestImageIsRegisteredAnewForABootModeOfItsOwn(t *testing.T) {
	for name, set := range map[string]func(*oven){
		"at home":                 func(*oven) {},
		"where another was":       func(o *oven) { o.cloud.oldImage("us-east-1", oldID, "hello-1") },
		"and copied and encrypts": func(o *oven) { o.config.EncryptBoot = config.TriTrue; abroad(o) },
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) {
				o.cloud.sourceImage = "<bootMode>legacy-bios</bootMode><usageOperation>RunInstances</usageOperation>"
				o.config.BootMode, o.config.TPMSupport, o.config.ForceDeregister = "uefi", "v2.0", true
				set(o)
			})
			if err != nil {
				t.Fatal(err)
			}
			form := o.cloud.form["RegisterImage"]
			for name, want := range map[string]string{
				"BootMode": "uefi", "TpmSupport": "v2.0", "BlockDeviceMapping.1.Ebs.SnapshotId": "snap-of-" + newID,
				"BlockDeviceMapping.1.Ebs.Encrypted": "", "TagSpecification.2.ResourceType": "",
			} {
				if form.Get(name) != want {
					t.Errorf("%s is %q, want %q", name, form.Get(name), want)
				}
			}
			i := o.image("us-east-1", "hello-1")
			if s := o.cloud.snapshots[i.snapshots[0]]; s == nil || s.tags[tagExpires] != "" || i.old {
				t.Errorf("the image is %+v, its snapshot %+v", i, s)
			}
			if len(o.cloud.images) != len(o.config.wanted()) || len(o.cloud.snapshots) > len(o.cloud.images)+1 {
				t.Errorf("images %q, %d snapshots", o.cloud.named(), len(o.cloud.snapshots))
			}
		})
	}
}

// wanted are the regions of a build in us-east-1.
func (c *Config) wanted() []string { return append(c.otherRegions("us-east-1"), "us-east-1") }

func TestBakeTellsEC2WhatTheTemplateSaysOfTheImage(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		abroad(o)
		everyAttribute(o.config)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{"us-east-1", "eu-west-1", "ap-south-1"} {
		i := o.image(region, "hello-1")
		if diff := cmp.Diff([]string{
			"ImdsSupport.Value=v2.0", "ProductCode.1=abc",
			"LaunchPermission.Add.1.UserId=111111111111", "LaunchPermission.Add.2.UserId=222222222222",
			"LaunchPermission.Add.3.OrganizationArn=arn:aws:organizations::111111111111:organization/o-1",
			"LaunchPermission.Add.4.OrganizationalUnitArn=arn:aws:organizations::111111111111:ou/o-1/ou-1-2",
			"DeprecateAt=2001-02-03T04:05:06Z", "WithCooldown=true",
		}, i.set); diff != "" {
			t.Errorf("what was set in %s (-want +got):\n%s", region, diff)
		}
		if diff := cmp.Diff([]string{
			"CreateVolumePermission.Add.1.UserId=333333333333", "CreateVolumePermission.Add.2.Group=all",
		}, o.cloud.snapshots[i.snapshots[0]].set); diff != "" {
			t.Errorf("what was set of the snapshot in %s (-want +got):\n%s", region, diff)
		}
	}
	for name, want := range map[string]string{
		"BlockDeviceMapping.1.VirtualName": "ephemeral0", "BlockDeviceMapping.2.Ebs.VolumeSize": "9",
		"BlockDeviceMapping.2.Ebs.DeleteOnTermination": "false",
	} {
		if got := o.cloud.form["CreateImage"].Get(name); got != want {
			t.Errorf("of the image's own disks, %s is %q, want %q", name, got, want)
		}
	}
	if tags := o.image("us-east-1", "hello-1").tags; tags["team"] != "" {
		t.Errorf("the machine's tags are on the image: %v", tags)
	}
	if o.cloud.count("ModifyInstanceAttribute") != 2 {
		t.Error("ENA and SR-IOV were not both set")
	}
}

func TestAnImageThatIsAvailableAtOnceMayNotBeKnownEverywhere(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		abroad(o)
		everyAttribute(o.config)
		o.config.BootMode = "uefi"
		for _, action := range []string{"RegisterImage", "CopyImage", "ModifyImageAttribute", "EnableImageDeprecation"} {
			o.cloud.broken[action] = first(2, 400, codeImageNotFound)
		}
		o.cloud.broken["ModifyInstanceAttribute"] = first(2, 400, codeInstanceState)
		o.cloud.broken["CreateImage"] = func(int) *failure { o.cloud.pending = 0; return nil }
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(o.cloud.named()); got != 3 {
		t.Errorf("%d images: %v", got, o.cloud.named())
	}
}

func TestImageNowhereIsRefused(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) { // only the environment names the region
		o.config.SkipSaveBuildRegion, o.config.AMIRegions = true, []string{"us-east-1"}
	})
	if err == nil || !strings.Contains(err.Error(), "names no other region") || slices.Contains(o.cloud.calls, "RunInstances") {
		t.Errorf("the error is %v", err)
	}
}

func TestBakeChecksTheImageBeforeItSpendsMoney(t *testing.T) {
	for want, set := range map[string]func(*oven){
		"whose bake was killed before it was complete": func(o *oven) {
			o.cloud.oldImage("us-east-1", oldID, "hello-1").tags = map[string]string{tagExpires: "2000-01-01T00:00:00Z"}
		},
		"is taken by " + oldID + " in eu-west-1": func(o *oven) {
			o.cloud.oldImage("eu-west-1", oldID, "hello-1")
			abroad(o)
		},
		`region "mars-1" does not exist`: func(o *oven) { o.config.AMIRegions = []string{"mars-1"} },
		"is protected from deregistration": func(o *oven) {
			o.cloud.oldImage("us-east-1", oldID, "hello-1").protection = "enabled-without-cooldown"
			o.config.ForceDeregister = true
		},
		"loses what it is paid by": func(o *oven) {
			o.cloud.sourceImage = "<usageOperation>RunInstances:0010</usageOperation><platformDetails>Red Hat Enterprise Linux</platformDetails>"
			o.config.BootMode = "uefi"
		},
		"tpm_support needs the boot mode uefi": func(o *oven) { o.config.TPMSupport = "v2.0" },
		"virtualization type hvm": func(o *oven) {
			o.cloud.sourceImage = "<virtualizationType>paravirtual</virtualizationType>"
			o.config.SriovSupport = true
		},
		"no disk /dev/sdb": func(o *oven) {
			o.cloud.sourceImage = "<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName></item></blockDeviceMapping>"
			o.config.AMIBlockDevices = []BlockDevice{{DeviceName: "/dev/xvda"}, {DeviceName: "/dev/sdb", VolumeType: "gp3"}}
		},
		"has 261 characters": func(o *oven) {
			o.config.Tags = map[string]string{"long": strings.Repeat("x", 252) + "{{ .SourceAMIName }}"}
		},
	} {
		o, _, err := bakes(t, set)
		if err == nil || !strings.Contains(err.Error(), want) || slices.Contains(o.cloud.calls, "RunInstances") {
			t.Errorf("want %q, got %v after %v", want, err, o.cloud.calls)
		}
	}
}

// TestAsManyTagsAsEC2Takes: an image has its fifty with the bake's own, and one more is refused before a machine runs.
func TestAsManyTagsAsEC2Takes(t *testing.T) {
	bakeWith := func(n int) (*oven, int, error) {
		o, _, err := bakes(t, func(o *oven) {
			o.config.Tags = map[string]string{}
			for i := range n {
				o.config.Tags[strings.Repeat("x", i+1)] = ""
			}
		})
		tags := 0
		for key := range o.cloud.form["CreateImage"] {
			if strings.HasPrefix(key, "TagSpecification.1.Tag.") && strings.HasSuffix(key, ".Key") {
				tags++
			}
		}
		return o, tags, err
	}
	_, own, err := bakeWith(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, tags, err := bakeWith(50 - own); err != nil || tags != 50 {
		t.Errorf("%v with %d tags beside %d", err, tags, own)
	}
	if o, _, err := bakeWith(51 - own); err == nil || !strings.Contains(err.Error(), "would have 51 tags") || slices.Contains(o.cloud.calls, "RunInstances") {
		t.Errorf("%v after %v", err, o.cloud.calls)
	}
}
