// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
)

// Each of these calls takes effect and then fails. Nothing may be left of it in any region.
func TestBakeLeavesNothingWhenAnyImageCallFails(t *testing.T) {
	for name, set := range map[string]func(*testBuild){
		"ModifyInstanceAttribute": nil, "CreateImage": nil, "DeleteTags": nil, "CopyImage": nil,
		"ModifyImageAttribute": nil, "ModifySnapshotAttribute": nil,
		"EnableImageDeprecation": nil, "EnableImageDeregistrationProtection": nil,
		"RegisterImage": func(b *testBuild) { b.config.BootMode = "uefi" },
		"CopyImage of an intermediary": func(b *testBuild) {
			b.config.EncryptBoot, b.config.KMSKeyID = config.TriTrue, "alias/a"
			b.config.SnapshotGroups, b.config.SnapshotUsers = nil, nil
			b.config.AMIUsers, b.config.AMIOrgArns, b.config.AMIOuArns = nil, nil, nil
		},
		"DescribeRegions": nil,
	} {
		t.Run(name, func(t *testing.T) {
			action, _, _ := strings.Cut(name, " ")
			outputDir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(outputDir, "out"), []byte("of an earlier bake"), 0o600))
			b, artifact, err := runBuild(t, func(b *testBuild) {
				b.copyToOtherRegions()
				b.setEveryImageAttribute()
				b.config.DeregistrationProtection.WithCooldown, b.config.DeregistrationProtection.Enabled = false, true
				b.config.OutputFile = filepath.Join(outputDir, "out")
				if set != nil {
					set(b)
				}
				b.account.FailAfter[action] = awsfake.Always(400, "TheTestSaysSo")
			})
			if err == nil || artifact != nil || !strings.Contains(err.Error(), "TheTestSaysSo") {
				t.Fatalf("artifact %v, error %v", artifact, err)
			}
			b.checkNothingLeft()
			text, err := os.ReadFile(b.config.OutputFile)
			if entries, _ := os.ReadDir(outputDir); string(text) != "of an earlier bake" || len(entries) != 1 {
				t.Errorf("output_file is %q, %v, among %v", text, err, entries)
			}
		})
	}
}

func TestBakeLeavesNothingWhenOneRegionFailsOrIsCancelled(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*testBuild)
		want string
	}{
		"a copy fails": {func(b *testBuild) {
			b.account.FailBefore["CopyImage"] = awsfake.SecondCall(403, "UnauthorizedOperation")
		}, "UnauthorizedOperation"},
		"a copy cannot be shared": {func(b *testBuild) {
			b.account.FailBefore["ModifyImageAttribute"] = awsfake.SecondCall(403, "UnauthorizedOperation")
		}, "ami_users"},
		"a copy ends as failed": {func(b *testBuild) { b.failCopies() }, "is failed"},
		"a copy is not there in time": {func(b *testBuild) {
			b.config.ImageTimeout = 2 * time.Minute
			b.account.ImagePendingFor = 119 * time.Second
			b.neverFinishCopies()
		}, "image_timeout of 2m0s"},
		"it is cancelled": {func(b *testBuild) { b.cancelAfter(65 * time.Second) }, "cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.copyToOtherRegions()
				b.config.AMIUsers = []string{"111111111111"}
				c.set(b)
			})
			checkErrorSays(t, err, c.want)
			if err != nil && strings.Contains(err.Error(), "another region has failed") {
				t.Errorf("the error is that of a region that was cancelled because of it: %v", err)
			}
			b.checkNothingLeft()
		})
	}
}

// EC2 may create the snapshots of an image late, and may list them late.
func TestSnapshotsThatAppearLateAreRemoved(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.account.FailBefore["DeregisterImage"] = func(int) *awsfake.Failure {
			i := b.account.Images[awsfake.NewImageID]
			late := b.account.RootSnapshot(i)
			delete(b.account.Snapshots, i.Snapshots[0])
			time.AfterFunc(7*time.Second, func() {
				b.account.Change(func() { b.account.Snapshots["snap-late"] = late })
			})
			return nil
		}
		b.account.FailBefore["CreateImage"] = func(int) *awsfake.Failure {
			time.AfterFunc(time.Millisecond, func() {
				b.account.Change(func() { b.account.ImagesHideSnapshots = true })
			})
			return nil
		}
		b.cancelAfter(30 * time.Second)
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	b.checkNothingLeft()
}

func TestProtectionIsDisabledThoughNotVisibleYet(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.copyToOtherRegions()
		b.config.DeregistrationProtection.Enabled = true
		b.account.FailBefore["EnableImageDeregistrationProtection"] = func(n int) *awsfake.Failure {
			b.account.ImagesHideProtection = true
			return awsfake.SecondCall(403, "UnauthorizedOperation")(n)
		}
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	b.checkNothingLeft()
}

// failCopies makes every image fail, once the first is available.
func (b *testBuild) failCopies() {
	b.account.FailBefore["CopyImage"] = awsfake.Then(func() { b.account.ImageFinalState = "failed" })
}

// neverFinishCopies makes copies stay pending.
func (b *testBuild) neverFinishCopies() {
	b.account.FailBefore["CopyImage"] = awsfake.Then(func() { b.account.ImagePendingFor = time.Hour })
}

func TestImageIsFoundAfterLostAnswer(t *testing.T) {
	for _, action := range []string{"CopyImage", "CreateImage"} {
		b, _, err := runBuild(t, func(b *testBuild) {
			b.copyToOtherRegions()
			b.account.FailAfter[action] = awsfake.Always(500, "InternalError")
		})
		if err != nil {
			t.Fatal(err)
		}
		b.checkImages("ap-south-1 hello-1", "eu-west-1 hello-1", "us-east-1 hello-1")
	}
}

func TestProtectionWithCooldownIsReported(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.AMIRegions = []string{"eu-west-1"}
		b.config.DeregistrationProtection.WithCooldown = true
		b.account.FailBefore["EnableImageDeregistrationProtection"] = awsfake.SecondCall(403, "UnauthorizedOperation")
		b.account.FailBefore["DeregisterImage"] = func(int) *awsfake.Failure {
			i := b.account.Images[b.account.Requests["DeregisterImage"].Get("ImageId")]
			if i != nil && len(i.Attributes) > 0 {
				return &awsfake.Failure{Status: 400, Code: awscall.CodeNotPermitted}
			}
			return nil
		}
	})
	if err == nil || !strings.Contains(err.Error(), "24 hours") {
		t.Errorf("the error is %v", err)
	}
	if n := len(b.account.Images); n != 1 {
		t.Errorf("%d images are left, want the one that cannot be removed: %q", n, b.account.ImageNames())
	}
	if !strings.Contains(b.ui.String(), "Not removed:") {
		t.Errorf("the user is told\n%s", b.ui)
	}
}
