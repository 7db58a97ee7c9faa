// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// runs counts the launched machines.
func (q *quickLab) runs() int {
	n := 0
	for _, call := range q.Calls() {
		if call.Action == "RunInstances" {
			n++
		}
	}
	return n
}

// TestReuseWithPacker builds one template several times with the real Packer: unchanged, with new names, and with one
// change at a time.
func TestReuseWithPacker(t *testing.T) {
	t.Parallel()
	q := startBakerLab(t, labtest.Baker{})
	l := q.client()
	dir := write(t, map[string]string{
		"image/ami.env": "NAME=reuse\nVERSION=1\n", "image/readme.md": "A test.\n",
		"image/cloudinit/60_a.cfg": "#cloud-config\nruncmd: [ 'true' ]\n", "image/fs/etc/motd": "hello\n",
		"setup.sh": "#!/bin/sh\ntrue\n",
	})
	build := func(more ...string) string {
		t.Helper()
		vars := append([]string{"folder=" + dir, "source_ami=" + q.Value("BAKERY_LAB_AMI")}, more...)
		r := l.build(t, absolute(t, "testdata/reuse.pkr.hcl"), vars...)
		if r.Code != 0 {
			t.Fatal("packer build failed")
		}
		return r.Output
	}
	change := func(file, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if printed := build(); q.runs() != 1 || !strings.Contains(printed, `there is no earlier image named "reuse-*-*"`) {
		t.Fatalf("%d machines were run:\n%s", q.runs(), printed)
	}
	for range 2 {
		began := time.Now()
		printed := build()
		t.Logf("an unchanged build took %s with packer's own start", time.Since(began).Round(time.Millisecond))
		if q.runs() != 1 || !strings.Contains(printed, "Nothing has changed since ami-") ||
			!strings.Contains(printed, "were there already, unchanged") {
			t.Errorf("%d machines were run:\n%s", q.runs(), printed)
		}
	}
	checkManifest(t, filepath.Join(dir, "manifest.json"))
	for _, c := range []struct {
		do   func()
		vars []string
		want string // after "since ami-...: "
	}{
		{nil, []string{"secret=tr0ub4dor"}, `provisioner 1 \(shell inline\)`},
		{func() { change("setup.sh", "#!/bin/sh\nfalse\n") }, []string{"secret=tr0ub4dor"},
			`provisioner 2 \(shell setup.sh\)`},
		{func() { change("image/fs/etc/motd", "goodbye\n") }, []string{"secret=tr0ub4dor"}, `the user data`},
		{nil, []string{"secret=tr0ub4dor", `users=["222222222222"]`}, `ami_users`},
		{nil, []string{`users=["222222222222"]`, "run_as=ubuntu"},
			`provisioner 1 \(shell inline\), provisioner 2 \(shell setup.sh\), provisioner 3 \(file\)`},
		{nil, []string{"source_ami=" + q.Value("BAKERY_LAB_AMI_TRIXIE")},
			`source_ami \(` + q.Value("BAKERY_LAB_AMI") + ` -> ` +
				q.Value("BAKERY_LAB_AMI_TRIXIE") + `\), provisioner 1 .*, ami_users`},
	} {
		before := q.runs()
		if c.do != nil {
			c.do()
		}
		printed := build(c.vars...)
		if want := `Baking, because something has changed since ami-\w+ \(\S+\): ` + c.want +
			"\n"; !regexp.MustCompile(want).MatchString(printed) {
			t.Errorf("packer does not say %s:\n%s", want, printed)
		}
		if q.runs() != before+1 {
			t.Errorf("%d machines were run for %v", q.runs()-before, c.vars)
		}
		if strings.Contains(printed, "swordfish") || strings.Contains(printed, "tr0ub4dor") {
			t.Errorf("the secret is said:\n%s", printed)
		}
	}
}

// checkManifest checks Packer's manifest of three builds, of which only the first has baked.
func checkManifest(t *testing.T, file string) {
	t.Helper()
	var manifest struct {
		Builds []struct {
			Artifact string            `json:"artifact_id"`
			Data     map[string]string `json:"custom_data"`
		} `json:"builds"`
	}
	content, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(content, &manifest)
	}
	if err != nil || len(manifest.Builds) != 3 {
		t.Fatalf("the manifest: %v\n%s", err, content)
	}
	for i, b := range manifest.Builds {
		first := manifest.Builds[0]
		reused := map[bool]string{true: "true", false: "false"}[i > 0]
		if b.Artifact != first.Artifact || b.Data["digest"] != first.Data["digest"] || b.Data["reused"] != reused ||
			!strings.HasPrefix(b.Data["inputs"], "source=ami-") || len(b.Data["digest"]) != 64 {
			t.Errorf("build %d of the manifest: %+v", i, b)
		}
	}
}

// TestReuse checks what decides whether an earlier image is returned.
func TestReuse(t *testing.T) {
	t.Parallel()
	regions := map[string]any{"ami_regions": []string{"eu-west-1"}}
	for name, c := range map[string]struct {
		first  map[string]any // the settings of the bake before
		second map[string]any // and of the build that is tested, beside those
		do     func(q *quickLab, t *testing.T, image string)
		baked  bool
		want   string // what the build says
	}{
		"an unchanged build": {nil, nil, nil, false, "Nothing has changed"},
		"a fixed name, which is taken": {map[string]any{"ami_name": "fixed"}, nil, nil, false,
			"Nothing has changed"},
		"a name to be replaced": {map[string]any{"ami_name": "fixed", "force_deregister": true}, nil,
			nil, false, "Nothing has changed"},
		"settings of the machine and of waiting": {nil,
			map[string]any{"instance_type": "m5.large", "image_timeout": "40m", "instance_timeout": "40m"}, nil, false,
			"Nothing has changed"},
		"a region less": {regions, map[string]any{"ami_regions": []string{}}, nil, false,
			"Nothing has changed"},
		"every region of the first": {regions, nil, nil, false, "Nothing has changed"},
		"a region more":             {nil, regions, nil, true, "is the same, but is not in eu-west-1"},
		"user data": {nil, map[string]any{"user_data": "#!/bin/sh\ntrue\n"}, nil, true,
			": the user data\n"},
		"the source image": {nil, map[string]any{"source_ami": "TRIXIE"}, nil, true, ": source_ami (ami-"},
		"options": {
			nil, map[string]any{"ami_users": []string{"111111111111"}, "tags": map[string]string{"a": "b"},
				"imds_support": "v2.0"}, nil, true,
			": ami_users, imds_support, snapshot_tags, tags\n",
		},
		"disks": {nil, map[string]any{"ami_block_device_mappings": []map[string]any{{"device_name": "/dev/sdb",
			"virtual_name": "ephemeral0"}}}, nil, true, ": ami_block_device_mappings\n"},
		"another name": {nil, map[string]any{"ami_name": "other-{{timestamp}}"}, nil, true,
			`no earlier image named "other-*"`},
		"-force":                   {nil, map[string]any{"packer_force": true}, nil, true, "because of -force"},
		"an image that is no more": {nil, nil, (*quickLab).deregister, true, "no earlier image"},
		"an image that will be deprecated": {nil, nil, func(q *quickLab, t *testing.T, image string) {
			q.deprecate(t, image, time.Now().Add(time.Hour))
		}, false, "Nothing has changed"},
		"an image that is temporary": {nil, nil, func(q *quickLab, t *testing.T, image string) {
			q.tag(t, image, "bakery:expires", "2026-01-01T00:00:00Z")
		}, true, "no earlier image"},
		"an image whose tags were changed": {nil, nil, func(q *quickLab, t *testing.T, image string) {
			q.tag(t, image, "bakery:inputs", "x")
		}, true, "what is recorded of its inputs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := startQuickLab(t)
			settings := map[string]any{"ami_name": "reuse-{{timestamp}}-{{uuid}}", "reuse_unchanged": true}
			maps.Copy(settings, c.first)
			first, printed, err := q.bake(t, settings)
			if err != nil {
				t.Fatalf("%v\n%s", err, printed)
			}
			image := imageIn(first.Id(), "us-east-1")
			if c.do != nil {
				c.do(q, t, image)
			}
			maps.Copy(settings, c.second)
			if settings["source_ami"] == "TRIXIE" {
				settings["source_ami"] = q.Value("BAKERY_LAB_AMI_TRIXIE")
			}
			second, printed, err := q.bake(t, settings)
			if err != nil {
				t.Fatalf("%v\n%s", err, printed)
			}
			if baked := q.runs() == 2; baked != c.baked || baked == (imageIn(second.Id(), "us-east-1") == image) {
				t.Errorf("%d machines were run, and the artifacts are %s and %s", q.runs(), first.Id(), second.Id())
			}
			if !strings.Contains(printed+"\n", c.want) {
				t.Errorf("it does not say %q:\n%s", c.want, printed)
			}
		})
	}
}

// imageIn returns the id of the image in a region, from an artifact's id.
func imageIn(artifact, region string) string {
	for part := range strings.SplitSeq(artifact, ",") {
		if id, ok := strings.CutPrefix(part, region+":"); ok {
			return id
		}
	}
	return ""
}

func (q *quickLab) deregister(t *testing.T, image string) {
	t.Helper()
	_, err := ec2.NewFromConfig(q.sdk("us-east-1")).DeregisterImage(t.Context(),
		&ec2.DeregisterImageInput{ImageId: &image})
	if err != nil {
		t.Fatal(err)
	}
}

func (q *quickLab) tag(t *testing.T, image, key, value string) {
	t.Helper()
	_, err := ec2.NewFromConfig(q.sdk("us-east-1")).CreateTags(t.Context(), &ec2.CreateTagsInput{
		Resources: []string{image}, Tags: []types.Tag{{Key: &key, Value: &value}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (q *quickLab) deprecate(t *testing.T, image string, at time.Time) {
	t.Helper()
	_, err := ec2.NewFromConfig(q.sdk("us-east-1")).EnableImageDeprecation(t.Context(),
		&ec2.EnableImageDeprecationInput{
			ImageId: &image, DeprecateAt: aws.Time(at),
		})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReuseUpdatesTheImage checks that sharing and the deprecation time are set again on a reused image: a killed bake
// may have left it before it was shared, and each build may have another time.
func TestReuseUpdatesTheImage(t *testing.T) {
	t.Parallel()
	q := startQuickLab(t)
	output := filepath.Join(t.TempDir(), "out.env")
	settings := map[string]any{
		"ami_name": "reuse-{{timestamp}}", "reuse_unchanged": true, "ami_users": []string{"111111111111"},
		"output_file":  output,
		"deprecate_at": time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339), "imds_support": "v2.0",
		"ami_regions":               []string{"eu-west-1"},
		"deregistration_protection": map[string]any{"enabled": true},
	}
	first, printed, err := q.bake(t, settings)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	l, image := q.client(), imageIn(first.Id(), "us-east-1")
	_, err = l.ec2("us-east-1").ResetImageAttribute(t.Context(), &ec2.ResetImageAttributeInput{
		ImageId: &image, Attribute: types.ResetImageAttributeNameLaunchPermission,
	})
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().AddDate(2, 0, 0).UTC().Truncate(time.Minute)
	settings["deprecate_at"] = later.Format(time.RFC3339)
	if err := os.Remove(output); err != nil {
		t.Fatal(err)
	}
	second, printed, err := q.bake(t, settings)
	if err != nil || second.Id() != first.Id() || q.runs() != 1 {
		t.Fatalf("%v after %d machines\n%s", err, q.runs(), printed)
	}
	if got := l.launchPermissions(t, "us-east-1", image); !slices.Equal(got, []string{"111111111111"}) {
		t.Errorf("it may be launched by %v", got)
	}
	if content, err := os.ReadFile(output); err != nil || !strings.Contains(string(content), image) {
		t.Errorf("output_file: %v\n%s", err, content)
	}
	images, err := l.ec2("us-east-1").DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{image}})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSuffix(*images.Images[0].DeprecationTime, ".000Z") + "Z"; got != later.Format(time.RFC3339) {
		t.Errorf("it will be deprecated at %s, want %s", got, later)
	}
	if err := second.Destroy(); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(q.left(t), func(what string) bool { return strings.Contains(what, image) }) {
		t.Error("the image was removed with the artifact")
	}
}

// TestReuseRefusesATakenName checks that a name which another image has is refused before provisioners run.
func TestReuseRefusesATakenName(t *testing.T) {
	t.Parallel()
	q := startQuickLab(t)
	settings := map[string]any{"ami_name": "fixed"}
	if _, printed, err := q.bake(t, settings); err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	settings["reuse_unchanged"], settings["user_data"] = true, "#!/bin/sh\ntrue\n"
	_, printed, err := q.bake(t, settings)
	if err == nil || !strings.Contains(err.Error(), "force_deregister") ||
		!strings.Contains(printed, ": the user data\n") || q.runs() != 1 {
		t.Errorf("%v after %d machines:\n%s", err, q.runs(), printed)
	}
}
