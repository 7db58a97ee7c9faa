// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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

func TestBakeReplacesTheImageOfItsNameOnlyAfterSuccess(t *testing.T) {
	replace := func(o *oven) {
		o.cloud.oldImage("us-east-1", oldID, "hello-1")
		o.config.ForceDeregister = true
	}
	o, _, err := bakes(t, replace)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := o.cloud.images[oldID]; there {
		t.Error("the old image is still there")
	}
	o, _, err = bakes(t, func(o *oven) {
		replace(o)
		o.cloud.reports("begin 1", "verdict failed 1 60_app.cfg")
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	if _, there := o.cloud.images[oldID]; !there {
		t.Error("a failed bake has taken the old image")
	}
}
