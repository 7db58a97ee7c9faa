// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
)

// bubble runs a test in a bubble of its own time.
func bubble(t *testing.T, set func(*fixture), test func(*fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newFixture(t, set)) })
}

func TestOneImageIsMadeInEveryRegion(t *testing.T) {
	bubble(t, func(f *fixture) { abroad(f); everyAttribute(f) }, func(f *fixture) {
		if err := f.make(); err != nil {
			f.Fatal(err)
		}
		if err := f.undo(); err != nil {
			f.Error(err)
		}
		for _, target := range f.Maker.Regions() {
			images := f.accounts[target.Region].images
			i := images[target.ImageID()]
			if len(images) != 1 || *i.Name != "hello-1" || !IsProtected(i) {
				f.Errorf("the image in %s is %+v of %d", target.Region, i, len(images))
			}
			if _, expires := awscall.TagMap(i.Tags)[bake.TagExpires]; expires {
				f.Errorf("the image in %s expires", target.Region)
			}
		}
		if f.Maker.ImageName() != "hello-1" || f.Maker.Home().Region != home {
			f.Errorf("the image is %q in %s", f.Maker.ImageName(), f.Maker.Home().Region)
		}
	})
}

func TestAPlainImageTakesFourCallsAndLooks(t *testing.T) {
	bubble(t, nil, func(f *fixture) {
		if err := f.make(); err != nil {
			f.Fatal(err)
		}
		calls := slices.DeleteFunc(f.accounts[home].calls, func(name string) bool { return name == "DescribeImages" })
		if diff := cmp.Diff([]string{"CreateImage", "CreateTags", "CreateTags", "DeleteTags"}, calls); diff != "" {
			f.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

func TestAnEncryptedImageIsACopyOfAnIntermediaryThatIsRemoved(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.settings.Copy.EncryptBoot, f.settings.Copy.KMSKeyID = config.TriTrue, "alias/a"
	}, func(f *fixture) {
		if err := f.make(); err != nil {
			f.Fatal(err)
		}
		created := input[ec2.CreateImageInput](f, home, "CreateImage")
		if *created.Name != "hello-1 (intermediary "+testBake+")" {
			f.Errorf("the intermediary image is named %q", *created.Name)
		}
		if in := input[ec2.CopyImageInput](f, home, "CopyImage"); !*in.Encrypted || *in.KmsKeyId != "alias/a" {
			f.Errorf("the copy is encrypted: %v, with %s", *in.Encrypted, *in.KmsKeyId)
		}
		want := []string{"temporary images of bake " + testBake + " in " + home}
		if diff := cmp.Diff(want, f.bake.Ledger.List()); diff != "" {
			f.Errorf("ledger (-want +got):\n%s", diff)
		}
		if err := f.undo(); err != nil {
			f.Error(err)
		}
		if left := f.accounts[home].left(); len(left) != 2 || left[0] != "hello-1" {
			f.Errorf("left: %q", left)
		}
	})
}

func TestNoImageStaysInTheRegionOfTheBuildWithSkipSaveBuildRegion(t *testing.T) {
	bubble(t, func(f *fixture) { abroad(f); f.settings.Copy.SkipSaveBuildRegion = true }, func(f *fixture) {
		if err := errors.Join(f.make(), f.undo()); err != nil {
			f.Fatal(err)
		}
		if left := f.accounts[home].left(); len(left) != 0 {
			f.Errorf("left in %s: %q", home, left)
		}
		if left := f.accounts[away].left(); len(left) != 2 || left[0] != "hello-1" {
			f.Errorf("left in %s: %q", away, left)
		}
	})
}

func TestAnotherBootModeRegistersTheImageAnew(t *testing.T) {
	bubble(t, func(f *fixture) { f.settings.Attributes.BootMode = "uefi" }, func(f *fixture) {
		if err := errors.Join(f.make(), f.undo()); err != nil {
			f.Fatal(err)
		}
		in := input[ec2.RegisterImageInput](f, home, "RegisterImage")
		ebs := in.BlockDeviceMappings[0].Ebs
		if *in.Name != "hello-1" || in.BootMode != "uefi" || ebs.Encrypted != nil || ebs.Iops != nil ||
			len(in.TagSpecifications) != 1 {
			f.Errorf("registered with %+v and the disk %+v", in, ebs)
		}
		if left := f.accounts[home].left(); len(left) != 2 || left[0] != "hello-1" {
			f.Errorf("left: %q", left)
		}
	})
}

func TestCreateSendsTheDisksOfTheSettings(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.settings.Image.AMIBlockDevices = []blockdevice.BlockDevice{
			{DeviceName: "/dev/sdb", VirtualName: "ephemeral0"}, {DeviceName: "/dev/sdc", VolumeSize: 9},
		}
	}, func(f *fixture) {
		machine := newMachine()
		machine.Devices = []blockdevice.BlockDevice{{DeviceName: "/dev/xvda", VolumeSize: 8}, {DeviceName: "/dev/sdc"}}
		if _, err := f.Maker.Create(f.Context(), machine); err != nil {
			f.Fatal(err)
		}
		in := input[ec2.CreateImageInput](f, home, "CreateImage")
		var names []string
		for _, d := range in.BlockDeviceMappings {
			names = append(names, *d.DeviceName)
			if d.Ebs != nil && aws.ToBool(d.Ebs.DeleteOnTermination) {
				f.Errorf("%s is deleted with its instance", *d.DeviceName)
			}
		}
		if diff := cmp.Diff([]string{"/dev/sdb", "/dev/sdc", "/dev/xvda"}, names); diff != "" {
			f.Errorf("disks (-want +got):\n%s", diff)
		}
	})
}

// A call that fails after it took effect leaves nothing either.
func TestNothingIsLeftOfAFailure(t *testing.T) {
	for name, set := range map[string]func(*fixture){
		"CreateImage": nil, "CopyImage": nil, "ModifyImageAttribute": nil, "ModifySnapshotAttribute": nil,
		"EnableImageDeprecation": nil, "EnableImageDeregistrationProtection": nil, "DeleteTags": nil,
		"RegisterImage": func(f *fixture) { f.settings.Attributes.BootMode = "uefi" },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(f *fixture) {
				abroad(f)
				everyAttribute(f)
				if set != nil {
					set(f)
				}
				region := home
				if name == "CopyImage" {
					region = away
				}
				f.accounts[region].lose[name] = always("TheTestSaysSo")
			}, func(f *fixture) {
				err := f.make()
				if err == nil || !strings.Contains(err.Error(), "TheTestSaysSo") {
					f.Fatal(err)
				}
				if err := f.undo(); err != nil {
					f.Error(err)
				}
				for region, a := range f.accounts {
					if left := a.left(); len(left) > 0 {
						f.Errorf("left in %s: %q", region, left)
					}
				}
				if s := f.Maker.KeptImages(); len(s) > 0 {
					f.Errorf("survivors: %q", s)
				}
			})
		})
	}
}

func TestAnImageWhoseAnswerWasLostIsFound(t *testing.T) {
	bubble(t, func(f *fixture) {
		abroad(f)
		f.accounts[home].lose["CreateImage"] = once("RequestTimeout")
		f.accounts[away].lose["CopyImage"] = once("RequestTimeout")
	}, func(f *fixture) {
		if err := f.make(); err != nil {
			f.Fatal(err)
		}
		if a, b := f.count("CreateImage"), f.count("CopyImage"); a != 1 || b != 1 {
			f.Errorf("%d images were created and %d copied", a, b)
		}
	})
}

// An answer that is cut off before its first byte is an answer without an id.
func TestAnImageWhoseAnswerWasEmptyIsFound(t *testing.T) {
	bubble(t, nil, func(f *fixture) {
		api := f.Maker.home.EC2
		create := api.CreateImage
		api.CreateImage = func(
			ctx context.Context, in *ec2.CreateImageInput, opts ...func(*ec2.Options),
		) (*ec2.CreateImageOutput, error) {
			_, err := create(ctx, in, opts...)
			return new(ec2.CreateImageOutput), err
		}
		if err := f.make(); err != nil {
			f.Fatal(err)
		}
		if id := f.Maker.Home().ImageID(); id == "" {
			f.Error("the image is not found")
		}
	})
}

func TestWhatEC2DoesNotSeeYetIsRetried(t *testing.T) {
	bubble(t, func(f *fixture) {
		abroad(f)
		everyAttribute(f)
		f.accounts[home].refuse["CreateImage"] = once(awscall.CodeInstanceState)
		f.accounts[away].refuse["CopyImage"] = once(awscall.CodeImageNotFound)
		for _, name := range []string{
			"ModifyImageAttribute", "EnableImageDeprecation", "EnableImageDeregistrationProtection", "DeleteTags",
		} {
			f.accounts[home].refuse[name] = once(awscall.CodeImageNotFound)
		}
		f.accounts[home].refuse["ModifySnapshotAttribute"] = once(awscall.CodeSnapshotNotFound)
	}, func(f *fixture) {
		if err := f.make(); err != nil {
			f.Fatal(err)
		}
	})
}

func TestAnImageThatDoesNotBecomeAvailable(t *testing.T) {
	for want, set := range map[string]func(*fixture){
		"image_timeout of 2m0s is over": func(f *fixture) {
			f.settings.Image.ImageTimeout = 2 * time.Minute
			f.accounts[home].end = types.ImageStatePending
		},
		"is failed: EC2 gives no reason": func(f *fixture) { f.accounts[home].end = types.ImageStateFailed },
	} {
		bubble(t, set, func(f *fixture) {
			if err := f.make(); err == nil || !strings.Contains(err.Error(), want) {
				f.Errorf("want %q, got %v", want, err)
			}
			if err := f.undo(); err != nil {
				f.Error(err)
			}
			if left := f.accounts[home].left(); len(left) > 0 {
				f.Errorf("left: %q", left)
			}
		})
	}
}

func TestAnImageThatCannotBeRemovedStaysInTheLedgerWithItsSnapshots(t *testing.T) {
	bubble(t, nil, func(f *fixture) {
		if _, err := f.Maker.Create(f.Context(), newMachine()); err != nil {
			f.Fatal(err)
		}
		f.accounts[home].refuse["DeregisterImage"] = always("UnauthorizedOperation")
		err := f.undo()
		if err == nil || !strings.Contains(err.Error(), "its snapshots stay as well: snap-us-east-1-0") {
			f.Errorf("the error is %v", err)
		}
		want := []string{"image ami-us-east-1-0 in us-east-1"}
		if diff := cmp.Diff(want, f.bake.Ledger.List()); diff != "" || f.count("DeleteSnapshot") > 0 {
			f.Errorf("ledger (-want +got):\n%s\ncalls: %q", diff, f.accounts[home].calls)
		}
	})
}

func TestSnapshotsThatComeLateAreRemoved(t *testing.T) {
	bubble(t, nil, func(f *fixture) {
		if _, err := f.Maker.Create(f.Context(), newMachine()); err != nil {
			f.Fatal(err)
		}
		a := f.accounts[home]
		a.end = types.ImageStatePending
		image, late := a.images["ami-us-east-1-0"], a.snapshots["snap-us-east-1-0"]
		image.BlockDeviceMappings = nil
		delete(a.snapshots, "snap-us-east-1-0")
		time.AfterFunc(7*time.Second, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.snapshots["snap-us-east-1-0"] = late
		})
		if err := f.undo(); err != nil {
			f.Error(err)
		}
		time.Sleep(time.Minute)
		if left := a.left(); len(left) > 0 {
			f.Errorf("left: %q", left)
		}
	})
}

func TestAnImageThatItsTagDoesNotFindYetIsRemoved(t *testing.T) {
	bubble(t, nil, func(f *fixture) {
		if _, err := f.Maker.Create(f.Context(), newMachine()); err != nil {
			f.Fatal(err)
		}
		a := f.accounts[home]
		a.images["ami-us-east-1-0"].Tags = nil
		if err := f.undo(); err != nil {
			f.Error(err)
		}
		if left := a.left(); len(left) > 0 {
			f.Errorf("left: %q", left)
		}
	})
}

func TestASnapshotOfTheTemplateStaysWhenTheImageIsRemoved(t *testing.T) {
	bubble(t, func(f *fixture) {
		f.settings.Image.AMIBlockDevices = []blockdevice.BlockDevice{
			{DeviceName: "/dev/sdb", SnapshotID: "snap-template"},
		}
	}, func(f *fixture) {
		a := f.accounts[home]
		a.snapshots["snap-template"] = new(types.Snapshot)
		if _, err := f.Maker.Create(f.Context(), newMachine()); err != nil {
			f.Fatal(err)
		}
		image := a.images["ami-us-east-1-0"]
		image.BlockDeviceMappings = append(image.BlockDeviceMappings, types.BlockDeviceMapping{
			Ebs: &types.EbsBlockDevice{SnapshotId: aws.String("snap-template")},
		})
		if err := f.undo(); err != nil {
			f.Error(err)
		}
		if diff := cmp.Diff([]string{"snap-template"}, a.left()); diff != "" {
			f.Errorf("left (-want +got):\n%s", diff)
		}
	})
}

func TestSharingNamesEverybody(t *testing.T) {
	s := &SharingConfig{
		AMIUsers: []string{"1"}, AMIOrgArns: []string{"org"}, AMIOuArns: []string{"ou"}, AMIGroups: []string{"all"},
		AMIProductCodes: []string{"abc"}, SnapshotUsers: []string{"2"}, SnapshotGroups: []string{"all"},
	}
	got := s.launchPermissions()
	if len(got) != 4 || *got[0].UserId != "1" || *got[1].OrganizationArn != "org" ||
		*got[2].OrganizationalUnitArn != "ou" || got[3].Group != "all" {
		t.Errorf("launch permissions: %+v", got)
	}
	if got := s.createVolumePermissions(); len(got) != 2 || *got[0].UserId != "2" || got[1].Group != "all" {
		t.Errorf("permissions to create volumes: %+v", got)
	}
	all := Settings{Sharing: s, Attributes: &AttributesConfig{IMDSSupport: "v2.0"}}
	var names []string
	for _, in := range all.imageChanges() {
		names = append(names, settingsOfChange(in))
	}
	want := []string{"imds_support", "ami_product_codes", "ami_users, ami_groups, ami_org_arns and ami_ou_arns"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestNewMakerUsesTheClientsOfTheRegion(t *testing.T) {
	api := new(awscall.EC2)
	clients := awscall.Clients{Config: aws.Config{Region: home}, EC2: api}
	m := NewMaker(new(bake.Bake), clients, Settings{Copy: &CopyConfig{AMIRegions: []string{home}}}, nil)
	if len(m.Regions()) != 1 || m.Regions()[0] != m.Home() || m.Home().EC2 != api || m.Home().Region != home {
		t.Errorf("the regions are %+v", m.Regions())
	}
}

func TestTheCommandsOfTheLedgerNameTheImages(t *testing.T) {
	bubble(t, abroad, func(f *fixture) {
		if _, err := f.Maker.Create(f.Context(), newMachine()); err != nil {
			f.Fatal(err)
		}
		f.Maker.addToLedger(f.Maker.Regions()[1])
		list := func(region, image string) string {
			return "aws ec2 describe-snapshots --owner-ids self --filters Name=tag:bakery:bake-id,Values=" + testBake +
				" 'Name=description,Values=Created by CreateImage(*) for " + image + "*,Copied for DestinationAmi " +
				image + " from*' --query 'Snapshots[].SnapshotId' --output text --region " + region +
				" | xargs -rn 1 aws ec2 delete-snapshot --region " + region + " --snapshot-id"
		}
		if diff := cmp.Diff([]string{
			"aws ec2 describe-images --owners self --filters Name=tag:bakery:bake-id,Values=" + testBake +
				" --region " + away,
			"aws ec2 deregister-image --image-id ami-us-east-1-0 --region " + home,
			list(home, "ami-us-east-1-0"),
		}, f.bake.Ledger.Commands()); diff != "" {
			f.Errorf("commands (-want +got):\n%s", diff)
		}
	})
}

func TestAnImageOfAnEarlierBakeGetsAttributesAndIsNeverRemoved(t *testing.T) {
	bubble(t, everyAttribute, func(f *fixture) {
		old := *f.accounts[home].addOld("ami-old", "hello-0")
		m := f.Maker
		m.UseExisting([]types.Image{old})
		for _, do := range []func(context.Context) error{m.ApplyAttributes, m.Protect, m.Complete} {
			if err := do(f.Context()); err != nil {
				f.Fatal(err)
			}
		}
		m.Release()
		if err := f.undo(); err != nil {
			f.Error(err)
		}
		if f.count("DeleteTags") != 0 || f.count("ModifyImageAttribute") != 2 ||
			!IsProtected(f.accounts[home].images["ami-old"]) {
			f.Errorf("calls: %q", f.accounts[home].calls)
		}
		if m.ImageName() != "hello-0" || m.Home().ImageID() != "ami-old" {
			f.Errorf("the image is %s, named %q", m.Home().ImageID(), m.ImageName())
		}
	})
}

func TestAnImageThatIsProtectedAlreadyIsNotProtectedAgain(t *testing.T) {
	f := newFixture(t, everyAttribute)
	old := f.accounts[home].addOld("ami-old", "hello-0")
	old.DeregistrationProtection = aws.String("enabled-with-cooldown")
	f.Maker.UseExisting([]types.Image{*old})
	if err := f.Maker.Protect(t.Context()); err != nil || f.count("EnableImageDeregistrationProtection") > 0 {
		t.Errorf("calls: %q, error %v", f.accounts[home].calls, err)
	}
}

// A call that is broken off may still make an image, and then nobody knows its id.
func TestACancelDoesNotBreakOffTheCallThatMakesAnImage(t *testing.T) {
	bubble(t, nil, func(f *fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		f.accounts[home].refuse["CreateImage"] = func() error { cancel(); return nil }
		if _, err := f.Maker.Create(ctx, newMachine()); !errors.Is(err, context.Canceled) {
			f.Errorf("the error is %v", err)
		}
		want := []string{"image ami-us-east-1-0 in us-east-1"}
		if diff := cmp.Diff(want, f.bake.Ledger.List()); diff != "" {
			f.Errorf("ledger (-want +got):\n%s", diff)
		}
	})
}

func TestAFailureInOneRegionCancelsTheOthersAndIsTheOnlyError(t *testing.T) {
	failure := errors.New("the test says so")
	targets := []*RegionTarget{{Region: "a"}, {Region: "b"}}
	err := ForEachRegion(t.Context(), targets, func(ctx context.Context, target *RegionTarget) error {
		if target.Region == "b" {
			return failure
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if err == nil || err.Error() != failure.Error() {
		t.Errorf("the error is %v", err)
	}
}
