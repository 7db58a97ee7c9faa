// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// describedImage is an image as EC2 describes it.
type describedImage struct {
	Name, Description                                  string
	ImageId, DeprecationTime                           string //nolint:revive,staticcheck // the names of EC2
	BootMode, TpmSupport, ImdsSupport, SriovNetSupport string
	EnaSupport, Public                                 bool
	Tags                                               []keyValue
	ProductCodes                                       []productCode
	BlockDeviceMappings                                []device
}

type productCode struct {
	ProductCodeId string //nolint:revive,staticcheck // the name of EC2
}

type keyValue struct{ Key, Value string }

type device struct {
	DeviceName, VirtualName string
	Ebs                     struct {
		SnapshotId          string //nolint:revive,staticcheck // the name of EC2
		Encrypted           bool
		DeleteOnTermination bool
	}
}

type snapshotShown struct {
	Encrypted bool
	KmsKeyId  string //nolint:revive,staticcheck // the name of EC2
	Tags      []keyValue
}

func tagsOf(pairs []keyValue) map[string]string {
	tags := map[string]string{}
	for _, p := range pairs {
		if !strings.HasPrefix(p.Key, "bakery:") {
			tags[p.Key] = p.Value
		}
	}
	return tags
}

// TestImageOptions checks all settings of an image in every region, and that awscli reads the same.
func TestImageOptions(t *testing.T) {
	t.Parallel()
	q := startQuickLab(t)
	l := q.client()
	deprecate := time.Now().AddDate(1, 0, 0).UTC().Truncate(time.Minute)
	r := l.build(t, absolute(t, "testdata/image.pkr.hcl"), "name=all", "deprecate_at="+deprecate.Format(time.RFC3339))
	if r.Code != 0 {
		t.Fatal("the bake failed")
	}
	for _, region := range quickRegions {
		t.Run(region, func(t *testing.T) { checkEveryOption(t, q, region, deprecate, r.Output) })
	}
	checkAWSCLIAgrees(t, l, "eu-west-1", "all")
	left := slices.DeleteFunc(q.left(t), func(what string) bool {
		return strings.HasSuffix(what, " all") || strings.Contains(what, " snap-")
	})
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if n := len(slices.DeleteFunc(q.left(t), func(what string) bool {
		return !strings.Contains(what,
			" snap-")
	})); n != 3 {
		t.Errorf("%d snapshots, want one in each region", n)
	}
}

func checkEveryOption(t *testing.T, q *quickLab, region string, deprecate time.Time, output string) {
	l := q.client()
	i := l.describeImage(t, region, "all")
	if !strings.Contains(output, region+": "+i.ImageId) {
		t.Errorf("packer did not tell of %s", i.ImageId)
	}
	base := l.values["BAKERY_LAB_AMI"]
	for name, pair := range map[string][2]any{
		"ami_description":  {i.Description, "from " + base + " in us-east-1"},
		"boot_mode":        {i.BootMode, "uefi"},
		"tpm_support":      {i.TpmSupport, "v2.0"},
		"imds_support":     {i.ImdsSupport, "v2.0"},
		"ena_support":      {i.EnaSupport, false},
		"sriov_support":    {i.SriovNetSupport, "simple"},
		"with_cooldown":    {q.protection(t, region, i.ImageId), "enabled-with-cooldown"},
		"deprecate_at":     {strings.TrimSuffix(i.DeprecationTime, ".000Z") + "Z", deprecate.Format(time.RFC3339)},
		"its being public": {i.Public, false},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", name, pair[0], pair[1])
		}
	}
	tags := map[string]string{
		"Name": "all", "Version": "1.2", "team": "ovens", "from 136693071363": "us-east-1", "tag-a": "block",
		"tag-b": "block",
	}
	s := i.BlockDeviceMappings[0].Ebs.SnapshotId
	snapshot := l.snapshot(t, region, s)
	for _, diff := range []string{
		cmp.Diff(tags, tagsOf(i.Tags)),
		cmp.Diff([]string{
			"111111111111", "222222222222", "arn:aws:organizations::111111111111:organization/o-abc123",
			"arn:aws:organizations::111111111111:ou/o-abc123/ou-ab12-cd34ef56",
		}, l.launchPermissions(t, region, i.ImageId)),
		cmp.Diff([]string{"333333333333"}, l.volumePermissions(t, region, s)),
		cmp.Diff(device{DeviceName: "/dev/sdb", VirtualName: "ephemeral0"}, i.BlockDeviceMappings[1]),
		cmp.Diff("abcdefghijklmnopqrstuvwxy", i.ProductCodes[0].ProductCodeId),
	} {
		if diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	tags["team"], tags["kind"] = "disks", "snapshot"
	if diff := cmp.Diff(tags, tagsOf(snapshot.Tags)); diff != "" {
		t.Errorf("tags of the snapshot (-want +got):\n%s", diff)
	}
}

// TestImageEncryption checks that only encrypted copies of an image stay, with the key of each region.
func TestImageEncryption(t *testing.T) {
	t.Parallel()
	q := startQuickLab(t)
	l := q.client()
	const key, home = "1234abcd-12ab-34cd-56ef-1234567890ab", "9876abcd-12ab-34cd-56ef-1234567890ab"
	settings := map[string]any{
		"encrypt_boot": true, "kms_key_id": home, "ami_regions": []string{"eu-west-1", "us-west-2"},
		"region_kms_key_ids": map[string]any{"eu-west-1": key, "us-west-2": ""}, "custom_endpoint_ec2": q.URL,
		"force_deregister":      true,
		"force_delete_snapshot": true,
	}
	for range 2 { // the second replaces the first
		_, printed, err := q.bake(t, settings)
		if err != nil {
			t.Fatalf("%v\n%s", err, printed)
		}
		for region, want := range map[string]string{"us-east-1": home, "eu-west-1": key, "us-west-2": ""} {
			i := l.describeImage(t, region, "quick")
			s := l.snapshot(t, region, i.BlockDeviceMappings[0].Ebs.SnapshotId)
			if !s.Encrypted || want != "" && !strings.HasSuffix(s.KmsKeyId, "/"+want) ||
				strings.HasSuffix(s.KmsKeyId, "/"+key) != (want == key) {
				t.Errorf("the snapshot in %s is %+v, want the key %q", region, s, want)
			}
		}
		if left := q.left(t); len(left) != 6 {
			t.Errorf("want three images and their snapshots, there are %q", left)
		}
	}
}

// TestImageKeepsTheKeyOfItsMachine checks that a copy which takes over the name keeps the key of the image it was made
// from.
func TestImageKeepsTheKeyOfItsMachine(t *testing.T) {
	t.Parallel()
	q := startQuickLab(t)
	l := q.client()
	const key = "1234abcd-12ab-34cd-56ef-1234567890ab"
	for range 2 {
		_, printed, err := q.bake(t, map[string]any{
			"force_deregister": true,
			"launch_block_device_mappings": []any{
				map[string]any{"device_name": "/dev/xvda", "volume_size": 8, "encrypted": true, "kms_key_id": key},
			},
		})
		if err != nil {
			t.Fatalf("%v\n%s", err, printed)
		}
		i := l.describeImage(t, "us-east-1", "quick")
		if s := l.snapshot(t, "us-east-1", i.BlockDeviceMappings[0].Ebs.SnapshotId); !s.Encrypted ||
			!strings.HasSuffix(s.KmsKeyId, "/"+key) {
			t.Errorf("the snapshot is %+v", s)
		}
	}
}

// TestImageForEverybody makes a public image only in another region than the build's, and then no image at all.
func TestImageForEverybody(t *testing.T) {
	t.Parallel()
	q := startQuickLab(t)
	l := q.client()
	artifact, printed, err := q.bake(t, map[string]any{
		"skip_save_build_region": true, "ami_regions": []string{"eu-west-1"}, "ami_groups": []string{"all"},
		"snapshot_groups":        []string{"all"},
		"skip_region_validation": true, "encrypt_boot": false, "run_tags": map[string]any{"team": "ovens"},
		"deregistration_protection": map[string]any{"enabled": true},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	i := l.describeImage(t, "eu-west-1", "quick")
	if artifact.Id() != "eu-west-1:"+i.ImageId || !i.Public ||
		q.protection(t, "eu-west-1", i.ImageId) != "enabled-without-cooldown" ||
		tagsOf(i.Tags)["team"] != "ovens" {
		t.Errorf("the artifact is %s, the image %+v", artifact.Id(), i)
	}
	if diff := cmp.Diff([]string{"all"}, l.volumePermissions(t, "eu-west-1",
		i.BlockDeviceMappings[0].Ebs.SnapshotId)); diff != "" {
		t.Errorf("the snapshot's users (-want +got):\n%s", diff)
	}
	if left := q.left(t); len(left) != 2 {
		t.Errorf("want one image and its snapshot, there are %q", left)
	}
	for _, call := range q.Calls() {
		if call.Action == "DescribeRegions" {
			t.Error("regions were asked for")
		}
	}
	if err := artifact.Destroy(); err != nil {
		t.Error(err)
	}
	if artifact, _, err := q.bake(t, map[string]any{"skip_create_ami": true,
		"ami_regions": []string{"eu-west-1"}}); err != nil || artifact != nil {
		t.Errorf("skip_create_ami: artifact %v, error %v", artifact, err)
	}
	if left := q.left(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestImageReplacesAnother replaces an image with force_deregister, in the region of the build and in another.
func TestImageReplacesAnother(t *testing.T) {
	t.Parallel()
	q := startQuickLab(t)
	l := q.client()
	settings := map[string]any{"ami_regions": []string{"eu-west-1"}, "output_file": filepath.Join(t.TempDir(), "out")}
	if _, printed, err := q.bake(t, settings); err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	old := []string{l.describeImage(t, "us-east-1", "quick").ImageId, l.describeImage(t, "eu-west-1", "quick").ImageId}
	if _, _, err := q.bake(t, settings); err == nil || !strings.Contains(err.Error(), "is taken by "+old[0]) ||
		!strings.Contains(err.Error(), old[1]) {
		t.Fatalf("without force_deregister: %v", err)
	}
	settings["force_deregister"], settings["force_delete_snapshot"], settings["ami_users"] = true, true,
		[]string{"111111111111"}
	artifact, printed, err := q.bake(t, settings)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		i := l.describeImage(t, region, "quick")
		if slices.Contains(old, i.ImageId) || !strings.Contains(artifact.Id(), region+":"+i.ImageId) {
			t.Errorf("%s has the name in %s", i.ImageId, region)
		}
		if diff := cmp.Diff([]string{"111111111111"}, l.launchPermissions(t, region, i.ImageId)); diff != "" {
			t.Errorf("launchers in %s (-want +got):\n%s", region, diff)
		}
	}
	if left := q.left(t); len(left) != 4 {
		t.Errorf("want two images and their snapshots, there are %q", left)
	}
	out, err := os.ReadFile(settings["output_file"].(string))
	if err != nil || !strings.Contains(string(out), "AMIID='"+l.describeImage(t, "us-east-1", "quick").ImageId+"'") {
		t.Errorf("output_file is %q: %v", out, err)
	}
}

// everyCall returns settings with which a bake makes every call about images.
func everyCall() map[string]any {
	return map[string]any{
		"ami_regions": []string{"eu-west-1", "us-west-2"}, "boot_mode": "uefi", "ena_support": true,
		"sriov_support": true,
		"imds_support":  "v2.0", "ami_users": []string{"111111111111"}, "snapshot_users": []string{"111111111111"},
		"ami_product_codes": []string{"abc"}, "deprecate_at": time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339),
		"deregistration_protection": map[string]any{"enabled": true},
	}
}

// TestImageCallFailures makes calls about images fail after they took effect, in each region. Nothing may be left.
func TestImageCallFailures(t *testing.T) {
	t.Parallel()
	t.Run("each", func(t *testing.T) {
		for _, fault := range []string{
			"DescribeRegions=TestSaysSo:after",
			"ModifyInstanceAttribute=TestSaysSo:after", "ModifyInstanceAttribute=TestSaysSo:after:nth=2",
			"CreateImage=TestSaysSo:after",
			"RegisterImage=TestSaysSo:after",
			"CopyImage=TestSaysSo:after:region=eu-west-1", "CopyImage=TestSaysSo:after:nth=2",
			"ModifyImageAttribute=TestSaysSo:after", "ModifyImageAttribute=TestSaysSo:after:nth=9",
			"ModifyImageAttribute=TestSaysSo:after:region=us-west-2",
			"ModifySnapshotAttribute=TestSaysSo:after:nth=2",
			"ModifySnapshotAttribute=TestSaysSo:after:region=eu-west-1",
			"EnableImageDeprecation=TestSaysSo:after:nth=3",
			"EnableImageDeregistrationProtection=TestSaysSo:after",
			"EnableImageDeregistrationProtection=TestSaysSo:after:nth=3",
			"DescribeImages=TestSaysSo:region=us-west-2:nth=2",
		} {
			t.Run(fault, func(t *testing.T) {
				t.Parallel()
				q := startQuickLab(t, fault)
				settings := everyCall()
				settings["output_file"] = filepath.Join(t.TempDir(), "out")
				artifact, printed, err := q.bake(t, settings)
				if err == nil || artifact != nil || !strings.Contains(err.Error(), "TestSaysSo") {
					t.Fatalf("artifact %v, error %v\n%s", artifact, err, printed)
				}
				if left := q.left(t); len(left) > 0 {
					t.Errorf("left behind: %q\n%s", left, printed)
				}
				if _, err := os.Stat(settings["output_file"].(string)); err == nil {
					t.Error("output_file names an image that is gone")
				}
			})
		}
	})
}

// TestImageReplacingFailures makes calls fail while an image is replaced. Before the old image is removed, a failure
// leaves only the old image; after that, only the new one.
func TestImageReplacingFailures(t *testing.T) {
	t.Parallel()
	t.Run("each", func(t *testing.T) {
		for fault, c := range map[string]struct {
			kept string // old, new (under the name) or temporary
			want string
		}{
			"DeregisterImage=UnauthorizedOperation:1":              {"old", "UnauthorizedOperation"},
			"CopyImage=TestSaysSo":                                 {"temporary", "kept"},
			"CopyImage=TestSaysSo:after":                           {"temporary", "kept"},
			"ModifyImageAttribute=TestSaysSo:after:nth=1":          {"old", "TestSaysSo"},
			"ModifyImageAttribute=TestSaysSo:after:nth=2":          {"new", "kept"},
			"DeregisterImage=TestSaysSo:after:1":                   {"new", ""},
			"DeleteSnapshot=UnauthorizedOperation:1":               {"new", ""},
			"EnableImageDeprecation=TestSaysSo:after":              {"old", "TestSaysSo"},
			"EnableImageDeregistrationProtection=TestSaysSo:after": {"new", "kept"},
		} {
			t.Run(fault, func(t *testing.T) {
				t.Parallel()
				q := startQuickLab(t)
				if _, printed, err := q.bake(t, nil); err != nil {
					t.Fatalf("%v\n%s", err, printed)
				}
				before := q.left(t)
				q.addFault(t, fault)
				_, printed, err := q.bake(t, map[string]any{
					"force_deregister": true, "force_delete_snapshot": true, "ami_users": []string{"111111111111"},
					"deprecate_at":              time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339),
					"deregistration_protection": map[string]any{"enabled": true},
				})
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Fatalf("want %q, got %v\n%s", c.want, err, printed)
				}
				after := q.left(t)
				switch c.kept {
				case "old":
					if diff := cmp.Diff(before, after); diff != "" {
						t.Errorf("what is there (-before +after):\n%s", diff)
					}
				case "new":
					if !strings.HasSuffix(after[0], " quick") || after[0] == before[0] {
						t.Errorf("there are %q", after)
					}
				case "temporary":
					if len(after) != 3 || !strings.Contains(after[0], " quick (new ") ||
						!strings.Contains(err.Error(), strings.Fields(after[0])[1]) {
						t.Errorf("there are %q after %v", after, err)
					}
				}
			})
		}
	})
}

// TestImageCancelled interrupts a bake while copies are being made. Nothing may be left.
func TestImageCancelled(t *testing.T) {
	t.Parallel()
	q := startQuickLab(t, "CopyImage=slow=10s:after:nth=2")
	_, printed, err := q.bakeUntil(q.cancelledAt(t, "CopyImage"), t, everyCall())
	if err == nil || !strings.Contains(err.Error(), "cancelled") {
		t.Fatalf("%v\n%s", err, printed)
	}
	if left := q.left(t); len(left) > 0 {
		t.Errorf("left behind: %q\n%s", left, printed)
	}
}
