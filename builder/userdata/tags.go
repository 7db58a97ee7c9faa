// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Tags of the bake's own. Those of tagBake and tagExpires are on everything it makes, so that what a killed Packer
// leaves behind can be found and removed. An image that a bake has finished has no tagExpires any more.
const (
	tagName     = "Name"
	tagVersion  = "Version"
	tagBake     = "bakery:bake-id"
	tagExpires  = "bakery:expires"
	tagAttempt  = "bakery:attempt" // of a machine: "2" for the one after a Spot Instance was taken back
	tagSource   = "bakery:source-ami"
	tagUserData = "bakery:user-data-sha256"
	tagFS       = "bakery:fs-sha256"

	tagInputs        = tagPrefix + "inputs"         // the digest of all inputs
	tagInputsDetail  = tagPrefix + "inputs-detail"  // each of them, for people and to say what has changed
	tagInputsOptions = tagPrefix + "inputs-options" // the options among them

	tagPrefix = "bakery:"
)

// temporaryTags are those of everything that is gone after the bake.
func (b *bake) temporaryTags() map[string]string {
	return map[string]string{
		tagName:    "bakery " + b.config.AMIName,
		tagBake:    b.id,
		tagExpires: b.expiry().Format(time.RFC3339),
	}
}

// machineTags are those of the machine, volumeTags those of its volumes.
func (b *bake) machineTags() (machine, volumes map[string]string, err error) {
	machine, err = b.runTags()
	if err != nil {
		return nil, nil, err
	}
	b.machine.tag(machine)
	volumes, err = b.tags(machine, "run_volume_tags", b.config.RunVolumeTags)
	return machine, volumes, err
}

// tag tells what is made for a second machine from what was made for the first.
func (m *machine) tag(tags map[string]string) {
	if m.attempt > 1 {
		tags[tagAttempt] = strconv.Itoa(m.attempt)
	}
}

// byTags finds what was made for a machine, when an answer was lost. What was made for the first one is looked for only
// while there is no second one.
func (b *bake) byTags(m *machine) []types.Filter {
	byTags := []types.Filter{filter("tag:"+tagBake, b.id)}
	if m.attempt > 1 {
		byTags = append(byTags, filter("tag:"+tagAttempt, strconv.Itoa(m.attempt)))
	}
	return byTags
}

// runTags are those of what the template's run_tags are for.
func (b *bake) runTags() (map[string]string, error) {
	return b.tags(b.temporaryTags(), "run_tags", b.config.RunTags)
}

// requestTags are those of a spot request.
func (b *bake) requestTags() (map[string]string, error) {
	fleet, err := b.tags(b.temporaryTags(), "fleet_tags", b.config.FleetTags)
	if err != nil {
		return nil, err
	}
	b.machine.tag(fleet)
	return b.tags(fleet, "spot_tags", b.config.SpotTags)
}

// imageTags are those of the image and of its snapshots: the bake's own, then run_tags as amazon-ebs does, then the
// template's, which have the last word. Both expire, until the bake is complete: see finish.
func (b *bake) imageTags() (image, snapshots map[string]string, err error) {
	own := map[string]string{
		tagName: b.imageTitle(), tagBake: b.id, tagExpires: b.expiry().Format(time.RFC3339), tagSource: aws.ToString(b.source.ImageId),
	}
	for key, value := range map[string]string{
		tagVersion: b.version(), tagUserData: b.payload.userDataSHA256, tagFS: b.payload.fs.SHA256,
	} {
		if value != "" {
			own[key] = value
		}
	}
	if b.inputs != nil {
		maps.Copy(own, b.inputs.tags())
	}
	image = own
	if !b.config.SkipAMIRunTags {
		if image, err = b.tags(own, "run_tags", b.config.RunTags); err != nil {
			return nil, nil, err
		}
	}
	image, err = b.tags(image, "tags", b.config.Tags)
	if err != nil {
		return nil, nil, err
	}
	snapshots, err = b.tags(image, "snapshot_tags", b.config.SnapshotTags)
	return image, snapshots, err
}

// tags are base and the rendered tags of one setting, which win.
func (b *bake) tags(base map[string]string, setting string, tags map[string]string) (map[string]string, error) {
	all := maps.Clone(base)
	for key, value := range tags {
		name, err := b.render(setting, key)
		if err != nil {
			return nil, err
		}
		if err := checkOwnKey(setting, name); err != nil {
			return nil, err
		}
		if all[name], err = b.render(setting, value); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// imageTitle is the Name tag: NAME of ami.env, else the name of the image.
func (b *bake) imageTitle() string {
	if b.payload.name != "" {
		return b.payload.name
	}
	return b.config.AMIName
}

func (b *bake) version() string {
	if b.config.ImageVersion != "" {
		return b.config.ImageVersion
	}
	return b.payload.version
}

// tagSpec is what a call takes to tag what it makes while it makes it, so that nothing is ever without its tags.
func tagSpec(resource types.ResourceType, tags map[string]string) types.TagSpecification {
	spec := types.TagSpecification{ResourceType: resource}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		spec.Tags = append(spec.Tags, types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return spec
}
