// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/amibakery/packer-plugin-bakery/internal/ami"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
	"github.com/amibakery/packer-plugin-bakery/internal/reuse"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
	"github.com/amibakery/packer-plugin-bakery/internal/timeless"
)

// imageSpec returns the description and the tags of an image, whatever it is made of. Both the image and its snapshots
// expire, until the bake is complete.
func imageSpec(b *build, name string) (ami.Spec, error) {
	image, imageErr := imageTags(b)
	snapshots, snapshotErr := bake.Render(b.render).Tags(image, "snapshot_tags", b.config.SnapshotTags)
	description, descriptionErr := imageDescription(b)
	return ami.Spec{Name: name, Description: description, ImageTags: image, SnapshotTags: snapshots},
		errors.Join(imageErr, snapshotErr, descriptionErr)
}

// imageTags returns the bake's own tags, then run_tags as amazon-ebs does, then the template's tags, which have the
// last word.
func imageTags(b *build) (map[string]string, error) {
	tags := map[string]string{
		bake.TagName: nameTag(b), bake.TagBake: b.ID, bake.TagExpires: b.Expiry().Format(time.RFC3339),
		bake.TagSource: aws.ToString(b.account.source.ImageId),
	}
	if version := imageVersion(b); version != "" {
		tags[bake.TagVersion] = version
	}
	if b.inputs != nil {
		maps.Copy(tags, b.inputs.Tags())
	}
	render := bake.Render(b.render)
	var runErr error
	if !b.config.SkipAMIRunTags {
		tags, runErr = render.Tags(tags, "run_tags", b.config.RunTags)
	}
	tags, err := render.Tags(tags, "tags", b.config.Tags)
	return tags, errors.Join(runErr, err)
}

// nameTag returns the Name tag: NAME of ami.env, else the name of the image.
func nameTag(b *build) string { return cmp.Or(b.payload.name, b.config.AMIName) }

func imageVersion(b *build) string { return cmp.Or(b.config.ImageVersion, b.payload.version) }

// imageDescription returns the template's description, or one made of the name and the version.
func imageDescription(b *build) (string, error) {
	if b.config.AMIDescription != "" {
		return b.render("ami_description", b.config.AMIDescription)
	}
	if v := imageVersion(b); v != "" {
		return nameTag(b) + " " + v, nil
	}
	return nameTag(b), nil
}

// checkRenderedTexts renders what is made of the source image's data, and would only be found wrong when the machine
// has run.
func checkRenderedTexts(b *build) error {
	spec, err := imageSpec(b, b.config.AMIName)
	if err != nil {
		return err
	}
	where := "ami_description"
	if b.config.AMIDescription == "" {
		where += ", which is made of the name and the version of the image,"
	}
	if err := ami.CheckDescription(where, spec.Description); err != nil {
		return err
	}
	// The tags of the inputs, which depend on the provisioners, and that with the image's own id are not among these.
	n := max(len(spec.ImageTags), len(spec.SnapshotTags)) + len(new(reuse.Inputs).Tags()) + 1
	if err := checkTagCount(n); err != nil {
		return err
	}
	tags, err := b.config.machineSettings().Tags(b.Bake, b.render, 1)
	errs := []error{
		err, redact.CheckTexts("ami_name", b.config.AMIName), redact.CheckTexts("ami_description", spec.Description),
	}
	for _, group := range []struct {
		setting string
		tags    map[string]string
	}{
		{"tags or run_tags", spec.ImageTags},
		{"snapshot_tags", spec.SnapshotTags},
		{"run_volume_tags or run_tags", tags.Volumes},
		{"spot_tags or fleet_tags", tags.SpotRequest},
	} {
		errs = append(errs, redact.CheckTags(group.setting, group.tags))
		errs = append(errs, bake.CheckTagLimits(group.setting, group.tags)...)
	}
	return errors.Join(errs...)
}

// checkTagCount refuses more tags than EC2 takes.
func checkTagCount(n int) error {
	if n <= 50 {
		return nil
	}
	return fmt.Errorf("the image would have %d tags, with the bake's own; EC2 takes at most 50: set fewer tags, "+
		"run_tags or snapshot_tags", n)
}

// checkTagCounts counts the tags of which the template alone says that an image and its snapshots have them.
func (c *Config) checkTagCounts() ([]string, []error) {
	image := new(reuse.Inputs).Tags()
	for _, own := range []string{bake.TagName, bake.TagBake, bake.TagExpires, bake.TagSelf, bake.TagSource} {
		image[own] = ""
	}
	if setting.Known(c.ImageVersion) {
		image[bake.TagVersion] = ""
	}
	add := func(tags map[string]string) {
		for key := range tags {
			if setting.Known(key) && !strings.Contains(key, "{{") {
				image[key] = ""
			}
		}
	}
	if !c.SkipAMIRunTags {
		add(c.RunTags)
	}
	add(c.Tags)
	add(c.SnapshotTags) // which the snapshots have beside those of the image
	return nil, setting.NonNil(checkTagCount(len(image)))
}

// checkTexts refuses texts that name build data which does not exist. The build finds whatever else is wrong with them:
// their values are not known yet.
func (c *Config) checkTexts() ([]string, []error) {
	var errs []error
	check := func(setting, text string) {
		_, err := new(buildData).render(c.ctx, setting, text)
		if _, ok := errors.AsType[*noSuchDataError](err); ok {
			errs = append(errs, err)
		}
	}
	check("ami_description", c.AMIDescription)
	for _, group := range []struct {
		setting string
		tags    map[string]string
	}{
		{"tags", c.Tags}, {"run_tags", c.RunTags}, {"snapshot_tags", c.SnapshotTags},
		{"run_volume_tags", c.RunVolumeTags}, {"spot_tags", c.SpotTags}, {"fleet_tags", c.FleetTags},
	} {
		for _, key := range slices.Sorted(maps.Keys(group.tags)) {
			check(fmt.Sprintf("%s: the key %q", group.setting, key), key)
			check(fmt.Sprintf("%s: %q", group.setting, key), group.tags[key])
		}
	}
	return nil, errs
}

// findInputs returns what the image will be made of. It is called when all of that is known, and before anything is
// made.
func findInputs(b *build) (*reuse.Inputs, error) {
	options, err := inputOptions(b)
	if err != nil {
		return nil, fmt.Errorf("find out what the image is made of: %w", err)
	}
	userData, userDataErr := reuse.SlowDigest([]byte(b.payload.inputDigest()))
	files, filesErr := b.payload.fs.publicDigest()
	return &reuse.Inputs{
		Name: timeless.Text(b.config.AMIName, b.ID), Source: aws.ToString(b.account.source.ImageId),
		UserData: userData, FS: files, Steps: b.payload.recording.steps, Options: options,
	}, errors.Join(userDataErr, filesErr)
}

// inputOptions returns the digests of the settings on which the image depends.
func inputOptions(b *build) (map[string]string, error) {
	c := b.config
	spec, err := imageSpec(b, c.AMIName)
	if err != nil {
		return nil, err
	}
	more := map[string]any{
		"ami_description": timeless.Text(spec.Description, b.ID),
		"tags":            reuse.TemplateTags(spec.ImageTags, b.ID),
		"snapshot_tags":   reuse.TemplateTags(spec.SnapshotTags, b.ID),
	}
	if len(c.LaunchBlockDevices) > 0 {
		more["launch_block_device_mappings"] = c.LaunchBlockDevices
	}
	if len(c.SkipCleanup) > 0 {
		more["skip_cleanup"] = slices.Clone(c.SkipCleanup)
	}
	if len(c.IgnoreFailures) > 0 {
		more["ignore_failures"] = slices.Clone(c.IgnoreFailures)
	}
	if c.WipeFreeSpace {
		more["wipe_free_space"] = true
	}
	if c.Verdict == setting.VerdictStop {
		more["verdict"] = c.Verdict
	}
	if c.DeprecateAt != "" {
		more["deprecate_at"] = true
	}
	return reuse.OptionDigests([]any{c.ImageConfig, c.CopyConfig, c.SharingConfig, c.AttributesConfig}, more)
}
