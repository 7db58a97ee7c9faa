// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

const oldID = "ami-0dead000000000001"

// named are the images of the account, as region and name.
func (c *cloud) named() []string {
	var all []string
	for _, i := range c.images {
		all = append(all, i.region+" "+i.name)
	}
	slices.Sort(all)
	return all
}

// image is the one image that has a name in a region.
func (o *oven) image(region, name string) *fakeImage {
	o.Helper()
	for _, i := range o.cloud.images {
		if i.region == region && i.name == name {
			return i
		}
	}
	o.Fatalf("no image %q in %s, but %q", name, region, o.cloud.named())
	return nil
}

func (o *oven) calls(of ...string) []string {
	return slices.DeleteFunc(slices.Clone(o.cloud.calls), func(name string) bool { return !slices.Contains(of, name) })
}

func abroad(o *oven) {
	o.config.AMIRegions = []string{"us-east-1", "eu-west-1", "ap-south-1", "eu-west-1"}
}

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

func TestOldImagesGoOnlyWhenTheNewOnesAreAvailableEverywhere(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.cloud.oldImage("us-east-1", oldID, "hello-1")
		o.cloud.oldImage("eu-west-1", "ami-0dead000000000002", "hello-1")
		abroad(o)
		o.config.ForceDeregister, o.config.ForceDeleteSnapshot = true, true
		o.config.AMIUsers = []string{"111111111111"}
		o.cloud.broken["DeregisterImage"] = func(n int) *failure {
			for id, i := range o.cloud.images {
				if n < 1 && (time.Since(i.made) < o.cloud.pending && !i.old || !i.old && len(i.set) == 0) {
					t.Errorf("an old image goes, and %s is not complete: %+v", id, i)
				}
			}
			return nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ap-south-1 hello-1", "eu-west-1 hello-1", "us-east-1 hello-1"}, o.cloud.named()); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	for id, i := range o.cloud.images {
		if i.old || len(i.set) == 0 || i.tags[tagBake] != testBake || i.tags[tagExpires] != "" {
			t.Errorf("%s is not a complete new image: %+v", id, i)
		}
	}
	if len(o.cloud.snapshots) != 3 {
		t.Errorf("%d snapshots, want one for each region", len(o.cloud.snapshots))
	}
}

func TestNothingIsCopiedWhereNothingHasTheName(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) { o.config.ForceDeregister = true })
	if err != nil {
		t.Fatal(err)
	}
	if calls := o.calls("CopyImage", "DeregisterImage", "DescribeSnapshots"); len(calls) > 0 {
		t.Errorf("calls for nothing: %v", calls)
	}
}

func TestReplacingKeepsTheKeyOfTheDisks(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.cloud.oldImage("us-east-1", oldID, "hello-1")
		o.config.ForceDeregister = true
		o.cloud.encryptDisks("key-of-the-machine")
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := o.cloud.snapshots[o.image("us-east-1", "hello-1").snapshots[0]]; !s.encrypted || s.key != "key-of-the-machine" {
		t.Errorf("the snapshot is %+v", s)
	}
}

// encryptDisks makes the machine's disks encrypted, and so what CreateImage makes of them.
func (c *cloud) encryptDisks(key string) {
	c.broken["DescribeImages"] = func(int) *failure {
		if s := c.snapshots["snap-of-"+newID]; s != nil {
			s.encrypted, s.key = true, key
		}
		return nil
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

// everyAttribute sets all that is said of an image once it is there.
func everyAttribute(c *Config) {
	c.AMIUsers, c.AMIProductCodes = []string{"111111111111", "222222222222"}, []string{"abc"}
	c.AMIOrgArns = []string{"arn:aws:organizations::111111111111:organization/o-1"}
	c.AMIOuArns = []string{"arn:aws:organizations::111111111111:ou/o-1/ou-1-2"}
	c.SnapshotUsers, c.SnapshotGroups = []string{"333333333333"}, []string{"all"}
	c.IMDSSupport, c.DeprecateAt = "v2.0", "2001-02-03T04:05:06Z"
	c.DeregistrationProtection.WithCooldown = true
	c.ENASupport, c.SriovSupport = config.TriTrue, true
	c.RunTags, c.SkipAMIRunTags = map[string]string{"team": "ovens"}, true
	c.AMIBlockDevices = []BlockDevice{{DeviceName: "/dev/sdb", VirtualName: "ephemeral0"}, {DeviceName: "/dev/sdc", VolumeSize: 9}}
}

// Whatever call fails after it took effect, nothing is left of it in any region.
func TestFailureOfAnyImageCallLeavesNothing(t *testing.T) {
	for name, set := range map[string]func(*oven){
		"ModifyInstanceAttribute": nil, "CreateImage": nil, "DeleteTags": nil, "CopyImage": nil, "ModifyImageAttribute": nil, "ModifySnapshotAttribute": nil,
		"EnableImageDeprecation": nil, "EnableImageDeregistrationProtection": nil,
		"RegisterImage": func(o *oven) { o.config.BootMode = "uefi" },
		"CopyImage of an intermediary": func(o *oven) {
			o.config.EncryptBoot, o.config.KMSKeyID = config.TriTrue, "alias/a"
			o.config.SnapshotGroups, o.config.SnapshotUsers, o.config.AMIUsers, o.config.AMIOrgArns, o.config.AMIOuArns = nil, nil, nil, nil, nil
		},
		"DescribeRegions": nil,
	} {
		t.Run(name, func(t *testing.T) {
			action, _, _ := strings.Cut(name, " ")
			o, artifact, err := bakes(t, func(o *oven) {
				abroad(o)
				everyAttribute(o.config)
				o.config.DeregistrationProtection.WithCooldown, o.config.DeregistrationProtection.Enabled = false, true
				o.config.OutputFile = filepath.Join(t.TempDir(), "out")
				if set != nil {
					set(o)
				}
				o.cloud.lost[action] = always(400, "TheTestSaysSo")
			})
			if err == nil || artifact != nil || !strings.Contains(err.Error(), "TheTestSaysSo") {
				t.Fatalf("artifact %v, error %v", artifact, err)
			}
			if left := o.cloud.left(); len(left) > 0 {
				t.Errorf("left behind: %v\n%s", left, o.ui)
			}
			if _, err := os.Stat(o.config.OutputFile); err == nil {
				t.Error("output_file names an image that is gone")
			}
		})
	}
}

func TestFailureInOneRegionOrACancelLeavesNothingInTheOthers(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*oven)
		want string
	}{
		"a copy fails":               {func(o *oven) { o.cloud.broken["CopyImage"] = second(403, "UnauthorizedOperation") }, "UnauthorizedOperation"},
		"a copy is not to be shared": {func(o *oven) { o.cloud.broken["ModifyImageAttribute"] = second(403, "UnauthorizedOperation") }, "ami_users"},
		"a copy ends as failed":      {func(o *oven) { o.failCopy() }, "is failed"},
		"a copy is not there in time": {func(o *oven) {
			o.config.ImageTimeout = 2 * time.Minute
			o.cloud.pending = 119 * time.Second
			o.slowCopy()
		}, "image_timeout of 2m0s"},
		"it is cancelled": {func(o *oven) { o.cancelAfter(65 * time.Second) }, "cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) {
				abroad(o)
				o.config.AMIUsers = []string{"111111111111"}
				c.set(o)
			})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), errElsewhere.Error()) {
				t.Fatalf("want %q, got %v", c.want, err)
			}
			if left := o.cloud.left(); len(left) > 0 {
				t.Errorf("left behind: %v\n%s", left, o.ui)
			}
		})
	}
}

// EC2 lists the snapshots of an image that is being made late, and makes them late.
func TestSnapshotsThatComeLateAreRemovedToo(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.cloud.broken["DeregisterImage"] = func(int) *failure {
			i := o.cloud.images[newID]
			late := o.cloud.snapshots[i.snapshots[0]]
			delete(o.cloud.snapshots, i.snapshots[0])
			time.AfterFunc(7*time.Second, func() {
				o.cloud.mu.Lock()
				defer o.cloud.mu.Unlock()
				o.cloud.snapshots["snap-late"] = late
			})
			return nil
		}
		o.cloud.broken["CreateImage"] = func(int) *failure {
			time.AfterFunc(time.Millisecond, func() {
				o.cloud.mu.Lock()
				defer o.cloud.mu.Unlock()
				o.cloud.hideSnapshots = true
			})
			return nil
		}
		o.cancelAfter(30 * time.Second)
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	if left := o.cloud.left(); len(left) > 0 {
		t.Errorf("left behind: %v\n%s", left, o.ui)
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

func TestProtectionThatEC2HasNotHeardOfYetIsTakenOffAllTheSame(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		abroad(o)
		o.config.DeregistrationProtection.Enabled = true
		o.cloud.broken["EnableImageDeregistrationProtection"] = func(n int) *failure {
			o.cloud.shyOfProtection = true
			return second(403, "UnauthorizedOperation")(n)
		}
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	if left := o.cloud.left(); len(left) > 0 {
		t.Errorf("left behind: %v\n%s", left, o.ui)
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

// second fails the second call of an action.
func second(status int, code string) func(int) *failure {
	return func(n int) *failure {
		if n == 1 {
			return &failure{status, code}
		}
		return nil
	}
}

// failCopy ends all images as failed once the first is available.
func (o *oven) failCopy() {
	o.cloud.broken["CopyImage"] = func(int) *failure { o.cloud.imageEnd = "failed"; return nil }
}

// slowCopy makes copies take for ever.
func (o *oven) slowCopy() {
	o.cloud.broken["CopyImage"] = func(int) *failure { o.cloud.pending = time.Hour; return nil }
}

func TestCopyWhoseAnswerWasLostIsFoundAgain(t *testing.T) {
	for _, action := range []string{"CopyImage", "CreateImage"} {
		o, _, err := bakes(t, func(o *oven) {
			abroad(o)
			o.cloud.lost[action] = always(500, "InternalError")
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"ap-south-1 hello-1", "eu-west-1 hello-1", "us-east-1 hello-1"}, o.cloud.named()); diff != "" {
			t.Errorf("images (-want +got):\n%s", diff)
		}
	}
}

func TestFailureOfReplacing(t *testing.T) {
	const temporary = "hello-1 (new " + testBake + ")"
	for name, c := range map[string]struct {
		set    func(*oven)
		images []string
		want   []string
	}{
		"leaves the old image when it may not be deregistered": {
			func(o *oven) { o.cloud.broken["DeregisterImage"] = first(1, 403, "UnauthorizedOperation") },
			[]string{"us-east-1 hello-1 " + oldID}, []string{"deregister " + oldID, "UnauthorizedOperation"},
		},
		"keeps the new image under its temporary name when the old one is gone": {
			func(o *oven) { o.cloud.broken["CopyImage"] = always(403, "UnauthorizedOperation") },
			[]string{"us-east-1 " + temporary + " " + newID},
			[]string{"UnauthorizedOperation", newID, temporary, "us-east-1", "kept"},
		},
		"keeps the new image under the name when only its sharing fails": {
			func(o *oven) { o.cloud.broken["ModifyImageAttribute"] = second(403, "UnauthorizedOperation") },
			[]string{"us-east-1 hello-1 ami-00000000000000002"}, []string{"UnauthorizedOperation", "kept", `named "hello-1"`},
		},
		"keeps the new image when it is not known whether the old one is gone": {
			func(o *oven) {
				o.cloud.lost["DeregisterImage"] = first(1, 400, "TheTestSaysSo")
				o.cloud.broken["DescribeImages"] = func(int) *failure {
					if o.cloud.count("DeregisterImage") > 0 && o.cloud.form["DescribeImages"].Get("ImageId.1") == oldID {
						return &failure{403, "UnauthorizedOperation"}
					}
					return nil
				}
			},
			[]string{"us-east-1 " + temporary + " " + newID}, []string{"TheTestSaysSo", temporary},
		},
		"goes on when the old one is gone although the call has failed": {
			func(o *oven) { o.cloud.lost["DeregisterImage"] = first(1, 400, "TheTestSaysSo") },
			[]string{"us-east-1 hello-1 ami-00000000000000002"}, nil,
		},
		"keeps the new image when it is cancelled then": {
			func(o *oven) {
				o.cloud.broken["CopyImage"] = func(int) *failure { o.cancel(); return nil }
			},
			[]string{"us-east-1 " + temporary + " " + newID}, []string{"cancelled", temporary},
		},
		"leaves everything when the disks have different keys": {
			func(o *oven) {
				o.cloud.broken["DescribeImages"] = func(int) *failure {
					if i := o.cloud.images[newID]; i != nil && len(i.snapshots) == 1 {
						i.snapshots = append(i.snapshots, "snap-2")
						o.cloud.snapshots["snap-2"] = &fakeSnapshot{region: "us-east-1", encrypted: true, key: "b", tags: i.tags}
					}
					return nil
				}
			},
			[]string{"us-east-1 hello-1 " + oldID}, []string{"encrypted in different ways"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) {
				o.cloud.oldImage("us-east-1", oldID, "hello-1")
				o.config.ForceDeregister = true
				o.config.AMIUsers = []string{"111111111111"}
				c.set(o)
			})
			if (err == nil) != (c.want == nil) {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			var images []string
			for _, id := range slices.Sorted(maps.Keys(o.cloud.images)) {
				i := o.cloud.images[id]
				images = append(images, i.region+" "+i.name+" "+id)
			}
			if diff := cmp.Diff(c.images, images); diff != "" {
				t.Errorf("images (-want +got):\n%s\n%s", diff, o.ui)
			}
		})
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

func TestProtectionThatLastsIsToldOf(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.config.AMIRegions = []string{"eu-west-1"}
		o.config.DeregistrationProtection.WithCooldown = true
		o.cloud.broken["EnableImageDeregistrationProtection"] = second(403, "UnauthorizedOperation")
		o.cloud.broken["DeregisterImage"] = func(int) *failure {
			if i := o.cloud.images[o.cloud.form["DeregisterImage"].Get("ImageId")]; i != nil && len(i.set) > 0 {
				return &failure{400, codeNotPermitted}
			}
			return nil
		}
	})
	if err == nil || !strings.Contains(err.Error(), "24 hours") {
		t.Errorf("the error is %v", err)
	}
	if n := len(o.cloud.images); n != 1 {
		t.Errorf("%d images are left, want the one that cannot be removed: %q", n, o.cloud.named())
	}
	if !strings.Contains(o.ui.String(), "Not removed:") {
		t.Errorf("the user is told\n%s", o.ui)
	}
}
