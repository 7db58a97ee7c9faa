// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// ownTags are the tags of the bake, with an id as that of the resource itself.
func ownTags(self string) []types.Tag {
	tags := []types.Tag{{Key: aws.String(bake.TagBake), Value: aws.String(testBake)}}
	if self != "" {
		tags = append(tags, types.Tag{Key: aws.String(bake.TagSelf), Value: aws.String(self)})
	}
	return tags
}

// TestRemovalLeavesCopiesWithTheTagsOfTheBake: while a bake runs, somebody copies its image or its disks with their
// tags. When it fails, these stay.
func TestRemovalLeavesCopiesWithTheTagsOfTheBake(t *testing.T) {
	bubble(t, nil, func(f *fixture) {
		if _, err := f.Maker.Create(f.Context(), newMachine()); err != nil {
			f.Fatal(err)
		}
		a := f.accounts[home]
		foreign := map[string]string{ // descriptions
			"snap-rescue": "Copied for DestinationAmi ami-rescue from SourceAmi ami-us-east-1-0 for",
			"snap-disk":   "of the disk, by a backup plan",
			"snap-late":   "Copied for DestinationAmi ami-late from SourceAmi",
			"snap-same":   "Created by CreateImage(" + testInstance + ") for ami-same",
			"snap-forged": "the only backup",
		}
		for id, description := range foreign {
			a.snapshots[id] = &types.Snapshot{
				SnapshotId: aws.String(id), Description: aws.String(description), Tags: ownTags(""),
			}
		}
		a.snapshots["snap-forged"].Tags = ownTags("snap-forged")
		images := map[string]string{"ami-rescue": "rescue", "ami-same": "by hand"}
		for id, name := range images {
			a.images[id] = &types.Image{
				ImageId: aws.String(id), Name: aws.String(name), Tags: ownTags("ami-us-east-1-0"),
			}
		}
		a.images["ami-late"] = &types.Image{
			ImageId: aws.String("ami-late"), Name: aws.String("late"), Tags: ownTags(""),
		}
		if err := f.undo(); err != nil {
			f.Fatal(err)
		}
		want := []string{"ami-late", "ami-rescue", "ami-same"}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(a.images))); diff != "" {
			f.Errorf("images (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(foreign)), slices.Sorted(maps.Keys(a.snapshots))); diff != "" {
			f.Errorf("snapshots (-want +got):\n%s", diff)
		}
	})
}

// TestForceDeleteSnapshotDeletesWhatABakeHasMade: a snapshot that an earlier template has named is the user's.
func TestForceDeleteSnapshotDeletesWhatABakeHasMade(t *testing.T) {
	bubble(t, func(f *fixture) {
		replacing(f)
		f.settings.Image.ForceDeleteSnapshot = true
		a := f.accounts[home]
		old := a.images["ami-old"]
		for id, tags := range map[string][]types.Tag{
			"snap-earlier": nil,
			"snap-of-another-bake": {
				{Key: aws.String(bake.TagBake), Value: aws.String("00000000000000cc")},
				{Key: aws.String(bake.TagSelf), Value: aws.String("snap-of-another-bake")},
			},
			"snap-copied": a.snapshots["snap-of-ami-old"].Tags,
		} {
			a.snapshots[id] = &types.Snapshot{
				SnapshotId: aws.String(id), Tags: tags, Description: aws.String("data"),
			}
			old.BlockDeviceMappings = append(old.BlockDeviceMappings, types.BlockDeviceMapping{
				Ebs: &types.EbsBlockDevice{SnapshotId: aws.String(id)},
			})
		}
	}, func(f *fixture) {
		if err := errors.Join(f.make(), f.undo()); err != nil {
			f.Fatal(err)
		}
		a := f.accounts[home]
		if a.snapshots["snap-of-ami-old"] != nil {
			f.Error("the snapshot of the old image stays")
		}
		for _, id := range []string{"snap-earlier", "snap-of-another-bake", "snap-copied"} {
			command := "aws ec2 delete-snapshot --snapshot-id " + id + " --region " + home
			if a.snapshots[id] == nil || !strings.Contains(f.ui.String(), command) {
				f.Errorf("%s is left: %t; it says\n%s", id, a.snapshots[id] != nil, f.ui)
			}
		}
	})
}

// TestForceDeregisterRefusesCopies: an image with the tags of a bake has to be what the bake has made.
func TestForceDeregisterRefusesCopies(t *testing.T) {
	for name, c := range map[string]struct {
		tags   []types.Tag
		refuse bool
	}{
		"of a bake":                     {ownTags("ami-old"), false},
		"of another builder":            {nil, false},
		"of another builder, with tags": {[]types.Tag{{Key: aws.String("Name"), Value: aws.String("x")}}, false},
		"a copy":                        {ownTags("ami-other"), true},
		"of a bake that was killed":     {ownTags(""), true},
		"a copy of one of the tags":     {[]types.Tag{{Key: aws.String(bake.TagInputs), Value: aws.String("x")}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(f *fixture) {
				replacing(f)
				f.accounts[home].images["ami-old"].Tags = c.tags
			}, func(f *fixture) {
				err := f.Maker.CheckNames(f.Context(), false)
				if (err != nil) != c.refuse || err != nil && !strings.Contains(err.Error(),
					"aws ec2 create-tags --resources ami-old --tags Key=bakery:self,Value=ami-old --region "+home) {
					f.Errorf("before the launch: %v", err)
				}
				err = f.make() // somebody makes the copy while the machine bakes
				if err := f.undo(); err != nil {
					f.Error(err)
				}
				if (err != nil) != c.refuse || (f.accounts[home].images["ami-old"] != nil) != c.refuse {
					f.Errorf("images %q, error %v", f.names(), err)
				}
			})
		})
	}
}

// TestTwoBakesReplaceOneName: of two bakes that replace the same image at the same time, one wins, and the other fails
// at once and leaves nothing.
func TestTwoBakesReplaceOneName(t *testing.T) {
	for name, deregisters := range map[string]bool{"the other deregisters": false, "this one deregisters": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, replacing, func(f *fixture) {
				a := f.accounts[home]
				other := a.addOld("ami-other", "hello-1 (new of another bake)")
				takeName := func() error {
					other.Name = aws.String("hello-1")
					return nil
				}
				if deregisters {
					a.refuse["CopyImage"] = takeName
				} else {
					a.refuse["DeregisterImage"] = func() error { delete(a.images, "ami-old"); return takeName() }
				}
				err := f.make()
				if err == nil || !strings.Contains(err.Error(), "ami-other") ||
					!strings.Contains(err.Error(), "by another bake") {
					f.Errorf("error %v", err)
				}
				if n := f.count("CopyImage"); n != 1 {
					f.Errorf("it has tried to copy %d times", n)
				}
				if kept := f.Maker.KeptImages(); len(kept) > 0 {
					f.Errorf("it keeps %q", kept)
				}
				delete(a.refuse, "DeregisterImage")
				if err := f.undo(); err != nil {
					f.Error(err)
				}
				if diff := cmp.Diff([]string{"hello-1 ami-other"}, f.names()); diff != "" {
					f.Errorf("images (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestWhatABakeMakesHasItsOwnIDAsATag is what all proofs rely on.
func TestWhatABakeMakesHasItsOwnIDAsATag(t *testing.T) {
	bubble(t, abroad, func(f *fixture) {
		if err := f.make(); err != nil {
			f.Fatal(err)
		}
		for region, a := range f.accounts {
			for id, i := range a.images {
				if awscall.TagMap(i.Tags)[bake.TagSelf] != id {
					f.Errorf("%s in %s has the tags %v", id, region, awscall.TagMap(i.Tags))
				}
			}
			for id, s := range a.snapshots {
				if awscall.TagMap(s.Tags)[bake.TagSelf] != id {
					f.Errorf("%s in %s has the tags %v", id, region, awscall.TagMap(s.Tags))
				}
			}
		}
	})
}

// TestAnImageOfSomebodyElseIsNeverTheBakes: somebody makes an image with the name and the id of the bake while it runs,
// so that EC2 refuses the name. The bake fails, and leaves it alone.
func TestAnImageOfSomebodyElseIsNeverTheBakes(t *testing.T) {
	for name, c := range map[string]struct {
		region string
		refuse func(a *account) // what EC2 answers
		self   string
	}{
		"the image":         {home, func(*account) {}, ""},
		"the copy":          {away, func(*account) {}, ""},
		"with its own id":   {home, func(*account) {}, "ami-theirs"},
		"a copy is refused": {away, func(a *account) { a.refuse["CopyImage"] = always("UnauthorizedOperation") }, ""},
		"EC2 throttles":     {away, func(a *account) { a.refuse["CopyImage"] = always("RequestLimitExceeded") }, ""},
		"it is refused":     {home, func(a *account) { a.refuse["CreateImage"] = always("UnauthorizedOperation") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, abroad, func(f *fixture) {
				a := f.accounts[c.region]
				theirs := a.addOld("ami-theirs", "hello-1")
				theirs.Tags = ownTags(c.self)
				a.snapshots["snap-of-ami-theirs"].Tags = ownTags("")
				c.refuse(a)
				if err := f.make(); err == nil {
					f.Error("the bake has succeeded")
				}
				if err := f.undo(); err != nil {
					f.Error(err)
				}
				if a.images["ami-theirs"] == nil || a.snapshots["snap-of-ami-theirs"] == nil {
					f.Errorf("left are the images %q and %q", slices.Sorted(maps.Keys(a.images)), a.left())
				}
				if tags := awscall.TagMap(theirs.Tags); tags[bake.TagSelf] != c.self {
					f.Errorf("it has got the tags %v", tags)
				}
			})
		})
	}
}

// TestForceDeregisterRefusesWhatCameMeanwhile: an image of no bake that gets the name while the machine bakes is not
// the one that the template means.
func TestForceDeregisterRefusesWhatCameMeanwhile(t *testing.T) {
	bubble(t, func(f *fixture) { f.settings.Image.ForceDeregister = true }, func(f *fixture) {
		if err := f.Maker.CheckNames(f.Context(), false); err != nil {
			f.Fatal(err)
		}
		a := f.accounts[home]
		a.addOld("ami-late", "hello-1").Tags = nil
		err := f.make()
		if err == nil || !strings.Contains(err.Error(), "while this bake was running") || a.images["ami-late"] == nil {
			f.Errorf("images %q, error %v", f.names(), err)
		}
	})
}
