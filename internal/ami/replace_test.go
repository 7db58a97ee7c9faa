// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
)

// replacing adds an image that has the name, which the bake is to replace.
func replacing(f *fixture) {
	f.accounts[home].addOld("ami-old", "hello-1")
	f.settings.Image.ForceDeregister = true
	f.settings.Sharing.AMIUsers = []string{"111111111111"}
}

// names returns the names and ids of the images in the region of the build.
func (f *fixture) names() []string {
	var all []string
	for id, i := range f.accounts[home].images {
		all = append(all, *i.Name+" "+id)
	}
	return slices.Sorted(slices.Values(all))
}

const temporary = "hello-1 (new " + testBake + ")"

func TestTheOldImageGoesWhenTheNewOnesAreComplete(t *testing.T) {
	bubble(t, func(f *fixture) {
		abroad(f)
		replacing(f)
		f.settings.Image.ForceDeleteSnapshot = true
		f.settings.Image.AMIBlockDevices = []blockdevice.BlockDevice{
			{DeviceName: "/dev/sdb", SnapshotID: "snap-template"},
		}
		a := f.accounts[home]
		old := a.images["ami-old"]
		old.BlockDeviceMappings = append(old.BlockDeviceMappings, types.BlockDeviceMapping{
			Ebs: &types.EbsBlockDevice{SnapshotId: aws.String("snap-template")},
		})
		a.snapshots["snap-template"] = new(types.Snapshot)
		a.refuse["DeregisterImage"] = func() error {
			if *a.inputs["DeregisterImage"].(*ec2.DeregisterImageInput).ImageId != "ami-old" {
				return nil
			}
			if !slices.Contains(a.calls, "ModifyImageAttribute") ||
				!slices.Contains(f.accounts[away].calls, "ModifyImageAttribute") {
				f.Errorf("the old image goes after %q", a.calls)
			}
			return nil
		}
	}, func(f *fixture) {
		if err := errors.Join(f.make(), f.undo()); err != nil {
			f.Fatal(err)
		}
		if diff := cmp.Diff([]string{"hello-1 ami-us-east-1-1"}, f.names()); diff != "" {
			f.Errorf("images (-want +got):\n%s", diff)
		}
		a := f.accounts[home]
		if a.snapshots["snap-of-ami-old"] != nil || a.snapshots["snap-template"] == nil || len(a.snapshots) != 2 {
			f.Errorf("left: %q", a.left())
		}
		if n := f.count("ModifyImageAttribute"); n != 3 {
			f.Errorf("%d images were shared, want both and the copy under the name", n)
		}
	})
}

func TestAnOldImageInAnotherRegionIsReplacedThere(t *testing.T) {
	bubble(t, func(f *fixture) {
		abroad(f)
		f.accounts[away].addOld("ami-old", "hello-1")
		f.settings.Image.ForceDeregister = true
	}, func(f *fixture) {
		if err := errors.Join(f.make(), f.undo()); err != nil {
			f.Fatal(err)
		}
		images := f.accounts[away].images
		if i := images["ami-eu-west-1-1"]; len(images) != 1 || i == nil || *i.Name != "hello-1" {
			f.Errorf("left in %s: %q", away, f.accounts[away].left())
		}
		if f.accounts[home].inputs["DeregisterImage"] != nil {
			f.Errorf("an image in %s was deregistered", home)
		}
	})
}

// For a moment after an image was deregistered, EC2 may refuse its name.
func TestTheNameOfTheOldImageMayNotBeFreeYet(t *testing.T) {
	bubble(t, func(f *fixture) {
		replacing(f)
		f.accounts[home].refuse["CopyImage"] = once(awscall.CodeImageNameTaken)
	}, func(f *fixture) {
		if err := f.make(); err != nil {
			f.Error(err)
		}
	})
}

func TestNothingIsCopiedWhereNoImageHasTheName(t *testing.T) {
	bubble(t, func(f *fixture) { f.settings.Image.ForceDeregister = true }, func(f *fixture) {
		if err := f.make(); err != nil {
			f.Fatal(err)
		}
		if f.count("CopyImage")+f.count("DeregisterImage") > 0 {
			f.Errorf("calls: %q", f.accounts[home].calls)
		}
	})
}

func TestFailureToReplace(t *testing.T) {
	for name, c := range map[string]struct {
		set    func(*fixture)
		images []string
		want   []string // in the error, or in the survivors
	}{
		"leaves the old image when EC2 refuses to deregister it": {
			func(f *fixture) { f.accounts[home].refuse["DeregisterImage"] = once("UnauthorizedOperation") },
			[]string{"hello-1 ami-old"}, []string{"deregister ami-old", "UnauthorizedOperation"},
		},
		"keeps the new image under its temporary name when the old one is gone": {
			func(f *fixture) { f.accounts[home].refuse["CopyImage"] = always("UnauthorizedOperation") },
			[]string{temporary + " ami-us-east-1-0"},
			[]string{"UnauthorizedOperation", "ami-us-east-1-0 in us-east-1", temporary},
		},
		"keeps the new image under the name when only its sharing fails": {
			func(f *fixture) {
				n := 0
				f.accounts[home].refuse["ModifyImageAttribute"] = func() error {
					if n++; n == 2 {
						return refused("UnauthorizedOperation")
					}
					return nil
				}
			},
			[]string{"hello-1 ami-us-east-1-1"}, []string{"UnauthorizedOperation", `named "hello-1"`},
		},
		"keeps the new image when nobody knows whether the old one is gone": {
			func(f *fixture) {
				a := f.accounts[home]
				a.lose["DeregisterImage"] = once("TheTestSaysSo")
				a.refuse["DescribeImages"] = func() error {
					in := a.inputs["DescribeImages"].(*ec2.DescribeImagesInput)
					if slices.Contains(in.ImageIds, "ami-old") {
						return refused("UnauthorizedOperation")
					}
					return nil
				}
			},
			[]string{temporary + " ami-us-east-1-0"}, []string{"TheTestSaysSo", temporary},
		},
		"goes on when the old image is gone although the call has failed": {
			func(f *fixture) { f.accounts[home].lose["DeregisterImage"] = once("TheTestSaysSo") },
			[]string{"hello-1 ami-us-east-1-1"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(f *fixture) { replacing(f); c.set(f) }, func(f *fixture) {
				err := f.make()
				if (err == nil) != (c.want == nil) {
					f.Fatal(err)
				}
				if err != nil {
					said := err.Error() + strings.Join(f.Maker.KeptImages(), "\n")
					for _, want := range c.want {
						if !strings.Contains(said, want) {
							f.Errorf("%q is not in %s", want, said)
						}
					}
				}
				if err := f.undo(); err != nil {
					f.Error(err)
				}
				if diff := cmp.Diff(c.images, f.names()); diff != "" {
					f.Errorf("images (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestReplacingKeepsTheKeyOfTheDisks(t *testing.T) {
	bubble(t, replacing, func(f *fixture) {
		a := f.accounts[home]
		image, err := f.Maker.Create(f.Context(), newMachine())
		if err != nil {
			f.Fatal(err)
		}
		target := f.Maker.Home()
		target.Image.BlockDeviceMappings[0].Ebs.Encrypted = aws.Bool(true)
		snapshot := a.snapshots[SnapshotsOf(&image)[0]]
		snapshot.Encrypted, snapshot.KmsKeyId = aws.Bool(true), aws.String("key-of-the-machine")

		c, err := f.Maker.renamingCopy(f.Context(), target)
		if err != nil || c.key != "key-of-the-machine" || !*c.encrypted || c.spec.Name != "hello-1" {
			f.Errorf("the copy is %+v, error %v", c, err)
		}

		target.Image.BlockDeviceMappings = append(target.Image.BlockDeviceMappings, types.BlockDeviceMapping{
			Ebs: &types.EbsBlockDevice{SnapshotId: aws.String("snap-of-ami-old")},
		})
		if _, err := f.Maker.renamingCopy(f.Context(), target); err == nil ||
			!strings.Contains(err.Error(), "different ways") {
			f.Errorf("the error is %v", err)
		}
	})
}

func TestACancelledBakeKeepsTheNewImageOnceTheOldOneIsGone(t *testing.T) {
	bubble(t, replacing, func(f *fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		f.accounts[home].refuse["CopyImage"] = func() error { cancel(); return refused("InternalError") }
		if _, err := f.Maker.Create(ctx, newMachine()); err != nil {
			f.Fatal(err)
		}
		if err := f.Maker.Replace(ctx); err == nil {
			f.Error("the image was replaced")
		}
		if err := f.undo(); err != nil {
			f.Error(err)
		}
		if diff := cmp.Diff([]string{temporary + " ami-us-east-1-0"}, f.names()); diff != "" {
			f.Errorf("images (-want +got):\n%s", diff)
		}
	})
}
