// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"errors"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// Tags are the tags of a machine, of its volumes, and of its spot request.
type Tags struct {
	Machine, Volumes, SpotRequest map[string]string
}

// RunTagsOf returns the tags of what run_tags are for: the machine, and what is made to launch it.
func (c *RunConfig) RunTagsOf(b *bake.Bake, render bake.Render) (map[string]string, error) {
	return render.Tags(b.TemporaryTags(), "run_tags", c.RunTags)
}

// Tags returns the tags of what an attempt makes. They tell what is made for the second machine from what was made for
// the first. Together with an error, it returns the tags that could be rendered.
func (s Settings) Tags(b *bake.Bake, render bake.Render, attempt int) (Tags, error) {
	machine, volumes, err := s.machineTags(b, render, attempt)
	request, requestErr := s.spotRequestTags(b, render, attempt)
	return Tags{Machine: machine, Volumes: volumes, SpotRequest: request}, errors.Join(err, requestErr)
}

func (s Settings) machineTags(
	b *bake.Bake, render bake.Render, attempt int,
) (machine, volumes map[string]string, err error) {
	machine, err = s.Run.RunTagsOf(b, render)
	addAttempt(machine, attempt)
	volumes, volumesErr := render.Tags(machine, "run_volume_tags", s.Run.RunVolumeTags)
	return machine, volumes, errors.Join(err, volumesErr)
}

func (s Settings) spotRequestTags(b *bake.Bake, render bake.Render, attempt int) (map[string]string, error) {
	fleet, fleetErr := render.Tags(b.TemporaryTags(), "fleet_tags", s.Spot.FleetTags)
	addAttempt(fleet, attempt)
	tags, err := render.Tags(fleet, "spot_tags", s.Spot.SpotTags)
	return tags, errors.Join(fleetErr, err)
}

func addAttempt(tags map[string]string, attempt int) {
	if attempt > 1 {
		tags[bake.TagAttempt] = strconv.Itoa(attempt)
	}
}

// filters finds what was made for a machine by its tags, when an answer was lost. What was made for the first machine
// has no tag of its own: isOfAttempt tells it from what was made for others.
func (m *Instance) filters() []types.Filter {
	filters := []types.Filter{awscall.Filter("tag:"+bake.TagBake, m.bake.ID)}
	if m.attempt > 1 {
		filters = append(filters, awscall.Filter("tag:"+bake.TagAttempt, strconv.Itoa(m.attempt)))
	}
	return filters
}

// isOfAttempt reports whether what filters finds was made for the machine, and not for a later one.
func (m *Instance) isOfAttempt(tags []types.Tag) bool {
	return m.attempt > 1 || awscall.TagMap(tags)[bake.TagAttempt] == ""
}
