// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

func TestChangedInputsAreNamed(t *testing.T) {
	sum := sumOf
	old := inputs{
		name: "app-*", source: "ami-1", userData: sum("u"), steps: []stepDigest{{"one", sum("1")}, {"two", sum("2")}},
		options: map[string]string{"ami_users": sum("a"), "tags": sum("t")},
	}
	image := func(in inputs) *types.Image {
		i := &types.Image{}
		for key, value := range in.tags() {
			i.Tags = append(i.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
		}
		return i
	}
	for name, c := range map[string]struct {
		change func(*inputs)
		want   []string
	}{
		"nothing":    {func(*inputs) {}, nil},
		"the source": {func(in *inputs) { in.source = "ami-2" }, []string{"source_ami (ami-1 -> ami-2)"}},
		"data and files": {
			func(in *inputs) { in.userData, in.fs = sum("v"), sum("f") }, []string{"the user data", "fs/"},
		},
		"a step": {
			func(in *inputs) { in.steps = []stepDigest{old.steps[0], {"other", sum("3")}} }, []string{"other"},
		},
		"one more step": {
			func(in *inputs) { in.steps = append(in.steps, stepDigest{"three", sum("3")}) },
			[]string{"three", "the provisioners (2 steps -> 3)"},
		},
		"one step less": {func(in *inputs) { in.steps = in.steps[:1] }, []string{"the provisioners (2 steps -> 1)"}},
		"no steps":      {func(in *inputs) { in.steps = nil }, []string{"the provisioners (2 steps -> 0)"}},
		"one option less": {
			func(in *inputs) { in.options = map[string]string{"tags": sum("t")} }, []string{"ami_users"},
		},
		"one more option": {func(in *inputs) {
			in.options = map[string]string{"ami_users": sum("a"), "tags": sum("x"), "x": "0123456"}
		}, []string{"tags", "x"}},
		"too many options": {func(in *inputs) { in.options = manyOptions(40) }, []string{"the options of the image"}},
		"all of the above": {
			func(in *inputs) { *in = inputs{source: "ami-3"} },
			[]string{
				"source_ami (ami-1 -> ami-3)", "the user data", "the provisioners (2 steps -> 0)", "ami_users",
				"tags",
			},
		},
		// Images with another form of the name are not searched.
		"the form of the name": {func(in *inputs) { in.name = "x" }, nil},
		"every step twice": {
			func(in *inputs) { in.steps = append(in.steps, in.steps...) },
			[]string{"one", "the provisioners (2 steps -> 4)"},
		},
	} {
		changed := old
		c.change(&changed)
		if diff := cmp.Diff(c.want, changed.changes(image(old))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if same := changed.digest() == old.digest(); same != (name == "nothing") {
			t.Errorf("%s: the digest is the same: %v", name, same)
		}
	}
	if got := old.changes(&types.Image{}); len(got) == 0 {
		t.Error("nothing has changed since an image without tags")
	}
}

func manyOptions(n int) map[string]string {
	all := map[string]string{}
	for i := range n {
		all[fmt.Sprintf("setting%d", i)] = sumOf(fmt.Sprint(i))
	}
	return all
}

func TestTagsOfInputsFitLimits(t *testing.T) {
	in := inputs{source: awsfake.SourceImageID, userData: sumOf("u"), fs: sumOf("f"), options: manyOptions(60)}
	for i := range toldApart {
		in.steps = append(in.steps, stepDigest{fmt.Sprint(i), sumOf(fmt.Sprint(i))})
	}
	for key, value := range in.tags() {
		if len(key) > 128 || len(value) > 256 {
			t.Errorf("the tag %s has %d characters", key, len(value))
		}
	}
}

// A new setting is compared, unless somebody lists it. Whatever is listed must exist.
func TestEveryImageSettingIsComparedOrListed(t *testing.T) {
	there := map[string]bool{}
	for _, group := range []any{ImageConfig{}, CopyConfig{}, SharingConfig{}, TraitsConfig{}} {
		for f := range reflect.TypeOf(group).Fields() {
			there[f.Tag.Get("mapstructure")] = true
		}
	}
	for _, name := range notCompared {
		if !there[name] {
			t.Errorf("notCompared lists %s, which is no setting of an image", name)
		}
	}
	set := settingsSet(CopyConfig{EncryptBoot: config.TriTrue, KMSKeyID: "x"})
	if diff := cmp.Diff(map[string]any{"encrypt_boot": config.TriTrue, "kms_key_id": "x"}, set); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	digest := func(d blockDevice) string {
		all, err := digestsOf(map[string]any{"disks": []blockDevice{d}})
		if err != nil {
			t.Fatal(err)
		}
		return all["disks"]
	}
	if digest(blockDevice{Encrypted: config.TriTrue}) == digest(blockDevice{Encrypted: config.TriFalse}) {
		t.Error("an encrypted disk has the digest of one that is not")
	}
}

// machineOnlySettings are those of RunConfig and WatchConfig that make no difference to the image.
var machineOnlySettings = []string{
	"instance_type", "key_name", "run_volume_tags", "run_volume_tag", "metadata_options", "ebs_optimized",
	"enable_unlimited_credits", "enable_t2_unlimited", "disable_stop_instance", "shutdown_behavior",
	"instance_timeout", "instance_poll_interval", "aws_polling",
	"run_tags", "run_tag", // compared as the image's
}

// A new setting is compared, or listed above on purpose.
func TestEveryMachineSettingIsComparedOrListed(t *testing.T) {
	c := &Config{
		RunConfig:   RunConfig{LaunchBlockDevices: []blockDevice{{DeviceName: "/dev/xvda"}}},
		WatchConfig: WatchConfig{Verdict: setting.VerdictStop, SkipCleanup: []string{"logs"}, WipeFreeSpace: true},
	}
	options, err := (&bake{config: c}).imageOptions()
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []any{RunConfig{}, WatchConfig{}} {
		for f := range reflect.TypeOf(group).Fields() {
			name, ok := f.Tag.Lookup("mapstructure")
			if ok && (options[name] != "") == slices.Contains(machineOnlySettings, name) {
				t.Errorf("%s: compared is %v", name, options[name] != "")
			}
		}
	}
}

func TestUserDataIsComparedWithGuestProgram(t *testing.T) {
	of := func(document string) string {
		return (&payload{document: []byte(document), userDataSHA256: sumOf("same")}).digest()
	}
	if of("program 1") == of("program 2") {
		t.Error("the guest program makes no difference to the digest")
	}
	if got := (&payload{verbatim: []byte("x"), userDataSHA256: sumOf("x")}).digest(); got != sumOf("x") {
		t.Errorf("user data without a guest program has the digest %s", got)
	}
}

func TestUnusableImagesAreNotReused(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for want, image := range map[string]types.Image{
		"":        {State: types.ImageStateAvailable, DeprecationTime: aws.String("2026-11-21T00:01:00.000Z")},
		"pending": {State: types.ImageStatePending},
		"failed":  {State: types.ImageStateFailed},
		"deprecated since 2026-11-20T23:59:00.000Z": {
			State: types.ImageStateAvailable, DeprecationTime: aws.String("2026-11-20T23:59:00.000Z"),
		},
	} {
		if got := unusable(&image, now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
