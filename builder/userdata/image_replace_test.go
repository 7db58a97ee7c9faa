// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

func TestOldImagesAreRemovedAfterNewOnesAreCompleteInEveryRegion(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.account.AddImage("us-east-1", awsfake.ExistingImageID, "hello-1")
		b.account.AddImage("eu-west-1", "ami-0dead000000000002", "hello-1")
		b.copyToOtherRegions()
		b.config.ForceDeregister, b.config.ForceDeleteSnapshot = true, true
		b.config.AMIUsers = []string{"111111111111"}
		b.account.FailBefore["DeregisterImage"] = func(n int) *awsfake.Failure {
			for id, i := range b.account.Images {
				pending := time.Since(i.CreatedAt) < b.account.ImagePendingFor
				if n < 1 && !i.Existing && (pending || len(i.Attributes) == 0) {
					t.Errorf("an old image is removed, and %s is not complete: %+v", id, i)
				}
			}
			return nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.checkImages("ap-south-1 hello-1", "eu-west-1 hello-1", "us-east-1 hello-1")
	for id, i := range b.account.Images {
		complete := len(i.Attributes) > 0 && i.Tags[bake.TagBake] == awsfake.BakeID &&
			i.Tags[bake.TagExpires] == ""
		if i.Existing || !complete {
			t.Errorf("%s is not a complete new image: %+v", id, i)
		}
	}
	if len(b.account.Snapshots) != 3 {
		t.Errorf("%d snapshots, want one for each region", len(b.account.Snapshots))
	}
}

func TestForceDeregisterMakesNoCallsWithoutOldImage(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) { b.config.ForceDeregister = true })
	if err != nil {
		t.Fatal(err)
	}
	if calls := b.account.CallsOf("CopyImage", "DeregisterImage", "DescribeSnapshots"); len(calls) > 0 {
		t.Errorf("calls for nothing: %v", calls)
	}
}

func TestReplacingKeepsKMSKeyOfDisks(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.account.AddImage("us-east-1", awsfake.ExistingImageID, "hello-1")
		b.config.ForceDeregister = true
		b.encryptDisks("key-of-the-machine")
	})
	if err != nil {
		t.Fatal(err)
	}
	s := b.account.RootSnapshot(b.account.ImageNamed("us-east-1", "hello-1"))
	if !s.Encrypted || s.KMSKey != "key-of-the-machine" {
		t.Errorf("the snapshot is %+v", s)
	}
}

// encryptDisks encrypts the machine's disks, and so the snapshot that CreateImage makes.
func (b *testBuild) encryptDisks(key string) {
	b.account.FailBefore["DescribeImages"] = func(int) *awsfake.Failure {
		if s := b.account.Snapshots[awsfake.NewSnapshotID]; s != nil {
			s.Encrypted, s.KMSKey = true, key
		}
		return nil
	}
}

func TestReplacingThatFails(t *testing.T) {
	const temporary = "hello-1 (new " + awsfake.BakeID + ")"
	for name, c := range map[string]struct {
		set    func(*testBuild)
		images []string
		want   []string
	}{
		"leaves the old image when it may not be deregistered": {
			func(b *testBuild) {
				b.account.FailBefore["DeregisterImage"] = awsfake.FirstCalls(1, 403, "UnauthorizedOperation")
			},
			[]string{"us-east-1 hello-1 " + awsfake.ExistingImageID},
			[]string{"deregister " + awsfake.ExistingImageID, "UnauthorizedOperation"},
		},
		"keeps the new image under its temporary name when the old one is gone": {
			func(b *testBuild) { b.account.FailBefore["CopyImage"] = awsfake.Always(403, "UnauthorizedOperation") },
			[]string{"us-east-1 " + temporary + " " + awsfake.NewImageID},
			[]string{"UnauthorizedOperation", awsfake.NewImageID, temporary, "us-east-1", "kept"},
		},
		"keeps the new image under the name when only its sharing fails": {
			func(b *testBuild) {
				b.account.FailBefore["ModifyImageAttribute"] = awsfake.SecondCall(403, "UnauthorizedOperation")
			},
			[]string{"us-east-1 hello-1 " + awsfake.CreatedImageID(2)},
			[]string{"UnauthorizedOperation", "kept", `named "hello-1"`},
		},
		"keeps the new image when it is not known whether the old one is gone": {
			func(b *testBuild) {
				b.account.FailAfter["DeregisterImage"] = awsfake.FirstCalls(1, 400, "TheTestSaysSo")
				b.account.FailBefore["DescribeImages"] = func(int) *awsfake.Failure {
					described := b.account.Requests["DescribeImages"].Get("ImageId.1")
					if b.account.Count("DeregisterImage") > 0 && described == awsfake.ExistingImageID {
						return &awsfake.Failure{Status: 403, Code: "UnauthorizedOperation"}
					}
					return nil
				}
			},
			[]string{"us-east-1 " + temporary + " " + awsfake.NewImageID}, []string{"TheTestSaysSo", temporary},
		},
		"goes on when the old one is gone although the call has failed": {
			func(b *testBuild) {
				b.account.FailAfter["DeregisterImage"] = awsfake.FirstCalls(1, 400, "TheTestSaysSo")
			},
			[]string{"us-east-1 hello-1 " + awsfake.CreatedImageID(2)}, nil,
		},
		"keeps the new image when it is cancelled then": {
			func(b *testBuild) {
				b.account.FailBefore["CopyImage"] = awsfake.Then(b.cancel)
			},
			[]string{"us-east-1 " + temporary + " " + awsfake.NewImageID}, []string{"cancelled", temporary},
		},
		"leaves everything when the disks have different keys": {
			func(b *testBuild) {
				b.account.FailBefore["DescribeImages"] = func(int) *awsfake.Failure {
					if i := b.account.Images[awsfake.NewImageID]; i != nil && len(i.Snapshots) == 1 {
						i.Snapshots = append(i.Snapshots, "snap-2")
						b.account.Snapshots["snap-2"] = &awsfake.Snapshot{
							Region: "us-east-1", Encrypted: true, KMSKey: "b", Tags: i.Tags,
						}
					}
					return nil
				}
			},
			[]string{"us-east-1 hello-1 " + awsfake.ExistingImageID}, []string{"encrypted in different ways"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.account.AddImage("us-east-1", awsfake.ExistingImageID, "hello-1")
				b.config.ForceDeregister = true
				b.config.AMIUsers = []string{"111111111111"}
				c.set(b)
			})
			if (err == nil) != (c.want == nil) {
				t.Fatal(err)
			}
			checkErrorSays(t, err, c.want...)
			var images []string
			for _, id := range slices.Sorted(maps.Keys(b.account.Images)) {
				i := b.account.Images[id]
				images = append(images, i.Region+" "+i.Name+" "+id)
			}
			if diff := cmp.Diff(c.images, images); diff != "" {
				t.Errorf("images (-want +got):\n%s\n%s", diff, b.ui)
			}
		})
	}
}

func TestBakeRemovesOldImageOnlyAfterSuccess(t *testing.T) {
	replace := func(b *testBuild) {
		b.account.AddImage("us-east-1", awsfake.ExistingImageID, "hello-1")
		b.config.ForceDeregister = true
	}
	b, _, err := runBuild(t, replace)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := b.account.Images[awsfake.ExistingImageID]; there {
		t.Error("the old image is still there")
	}
	b, _, err = runBuild(t, func(b *testBuild) {
		replace(b)
		b.account.SetReports("begin 1", "verdict failed 1 60_app.cfg")
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	if _, there := b.account.Images[awsfake.ExistingImageID]; !there {
		t.Error("a failed bake has removed the old image")
	}
}
