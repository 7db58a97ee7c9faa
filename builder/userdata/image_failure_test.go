// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

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
