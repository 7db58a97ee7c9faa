// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package reuse

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
)

// imageOf returns an image that records inputs.
func imageOf(in *Inputs) *types.Image {
	i := &types.Image{}
	for key, value := range in.Tags() {
		i.Tags = append(i.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	return i
}

func TestChangesAreNamed(t *testing.T) {
	sum := SHA256
	old := Inputs{
		Name: "app-*", Source: "ami-1", UserData: sum("u"), Steps: []StepDigest{{"one", sum("1")}, {"two", sum("2")}},
		Options: map[string]string{"ami_users": sum("a"), "tags": sum("t")},
	}
	for name, c := range map[string]struct {
		change func(*Inputs)
		want   []string
	}{
		"nothing":    {func(*Inputs) {}, nil},
		"the source": {func(in *Inputs) { in.Source = "ami-2" }, []string{"source_ami (ami-1 -> ami-2)"}},
		"data and files": {
			func(in *Inputs) { in.UserData, in.FS = sum("v"), sum("f") }, []string{"the user data", "fs/"},
		},
		"a step": {
			func(in *Inputs) { in.Steps = []StepDigest{old.Steps[0], {"other", sum("3")}} }, []string{"other"},
		},
		"a step more": {
			func(in *Inputs) { in.Steps = append(in.Steps, StepDigest{"three", sum("3")}) },
			[]string{"three", "the provisioners (2 steps -> 3)"},
		},
		"a step less": {func(in *Inputs) { in.Steps = in.Steps[:1] }, []string{"the provisioners (2 steps -> 1)"}},
		"no steps":    {func(in *Inputs) { in.Steps = nil }, []string{"the provisioners (2 steps -> 0)"}},
		"an option less": {
			func(in *Inputs) { in.Options = map[string]string{"tags": sum("t")} }, []string{"ami_users"},
		},
		"an option more": {func(in *Inputs) {
			in.Options = map[string]string{"ami_users": sum("a"), "tags": sum("x"), "x": "0123456"}
		}, []string{"tags", "x"}},
		"too many options": {func(in *Inputs) { in.Options = options(40) }, []string{"the options of the image"}},
		"everything": {func(in *Inputs) { *in = Inputs{Source: "ami-3"} }, []string{
			"source_ami (ami-1 -> ami-3)", "the user data", "the provisioners (2 steps -> 0)", "ami_users", "tags",
		}},
		"the name": {func(in *Inputs) { in.Name = "x" }, nil}, // such an image is not looked for
		"the number of steps": {
			func(in *Inputs) { in.Steps = append(in.Steps, in.Steps...) },
			[]string{"one", "the provisioners (2 steps -> 4)"},
		},
	} {
		is := old
		c.change(&is)
		if diff := cmp.Diff(c.want, is.Changes(imageOf(&old))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if same := is.Digest() == old.Digest(); same != (name == "nothing") {
			t.Errorf("%s: the digest is the same: %t", name, same)
		}
	}
	if got := old.Changes(&types.Image{}); len(got) == 0 {
		t.Error("nothing has changed since an image that records nothing")
	}
}

// options returns the digests of n settings.
func options(n int) map[string]string {
	all := map[string]string{}
	for i := range n {
		all[fmt.Sprintf("setting%d", i)] = SHA256(fmt.Sprint(i))
	}
	return all
}

func TestTheTagsHaveRoomForTheInputs(t *testing.T) {
	in := Inputs{
		Source: "ami-0123456789abcdef0", UserData: SHA256("u"), FS: SHA256("f"), Options: options(60),
	}
	for i := range maxSteps {
		in.Steps = append(in.Steps, StepDigest{fmt.Sprint(i), SHA256(fmt.Sprint(i))})
	}
	for key, value := range in.Tags() {
		if len(key) > 128 || len(value) > 256 {
			t.Errorf("the tag %s has %d characters", key, len(value))
		}
	}
}

// The digest is in the tags of images, so a change of its form makes every image another one.
func TestTheFormOfTheDigestAndTheTagsIsPinned(t *testing.T) {
	in := Inputs{
		Name: "app-*", Source: "ami-1", UserData: SHA256("u"), Steps: []StepDigest{{"one", SHA256("1")}},
		Options: map[string]string{"tags": SHA256("t")},
	}
	if diff := cmp.Diff(map[string]string{
		"bakery:inputs":         "f4b27e9bf46980fbfe7ea28fc9ac85e68ec77b70e040e351736a8622f343775f",
		"bakery:inputs-detail":  "source=ami-1 user-data=0bfe935e70c321c7 fs=none provisioners=6b86",
		"bakery:inputs-options": "tags=e3b98a",
	}, in.Tags()); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

// A setting that somebody adds to the image is compared, and each that is not compared exists.
func TestEverySettingOfAnImageIsComparedUnlessItIsListed(t *testing.T) {
	exists := map[string]bool{}
	for _, group := range []any{ami.ImageConfig{}, ami.CopyConfig{}, ami.SharingConfig{}, ami.AttributesConfig{}} {
		for f := range reflect.TypeOf(group).Fields() {
			exists[f.Tag.Get("mapstructure")] = true
		}
	}
	for _, name := range notCompared {
		if !exists[name] {
			t.Errorf("%s is not compared, and is no setting of an image", name)
		}
	}
}

func slow(t *testing.T, text string) string {
	t.Helper()
	digest, err := SlowDigest([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestOptionDigests(t *testing.T) {
	copying := &ami.CopyConfig{EncryptBoot: config.TriTrue, KMSKeyID: "x", AMIRegions: []string{"a"}}
	image := ami.ImageConfig{AMIName: "hello", AMIBlockDevices: []blockdevice.BlockDevice{{DeviceName: "/dev/sdb"}}}
	more := map[string]any{"tags": map[string]string{"a": "1"}, "deprecate_at": true}
	got, err := OptionDigests([]any{image, copying}, more)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"encrypt_boot": got["encrypt_boot"], "ami_block_device_mappings": got["ami_block_device_mappings"],
		"kms_key_id": slow(t, `"x"`), "tags": slow(t, `{"a":"1"}`), "deprecate_at": slow(t, "true"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got, err := OptionDigests(nil, nil); err != nil || len(got) != 0 {
		t.Errorf("without settings: %v, error %v", got, err)
	}
}

func TestAnEncryptedDiskIsAnotherOne(t *testing.T) {
	digest := func(encrypted config.Trilean) string {
		c := ami.ImageConfig{AMIBlockDevices: []blockdevice.BlockDevice{{Encrypted: encrypted}}}
		all, err := OptionDigests([]any{c}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return all["ami_block_device_mappings"]
	}
	if digest(config.TriTrue) == digest(config.TriFalse) {
		t.Error("an encrypted disk is the same as one that is not")
	}
}

func TestTemplateTagsHaveNoTimesAndNoTagsOfThePlugin(t *testing.T) {
	const id = "0123456789abcdef"
	got := TemplateTags(map[string]string{
		"bakery:bake-id": id, "made": "2026-11-21T10:00:00Z", "by-" + id: "bake " + id, "team": "ovens",
	}, id)
	if diff := cmp.Diff(map[string]string{"made": "*", "by-*": "bake *", "team": "ovens"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
