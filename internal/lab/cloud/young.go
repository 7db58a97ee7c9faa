// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"slices"
	"strings"
	"time"
)

// Younger refuses an id as one that does not exist while what it is of is younger than an age. What is no id, or one of
// nothing, it does not refuse.
func (c *Cloud) Younger(id string, age time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, made := c.birth(id)
	if made.IsZero() || time.Since(made) >= age {
		return nil
	}
	return k.missing(id)
}

var kindInterface = kind{"eni-", "InvalidNetworkInterfaceID.Malformed", "InvalidNetworkInterfaceID.NotFound", "networkInterface"}

// birth is the kind of an id, and when it was made; the caller holds c.mu.
func (c *Cloud) birth(id string) (kind, time.Time) {
	switch prefix, _, _ := strings.Cut(id, "-"); prefix {
	case "i", "eni":
		at := slices.IndexFunc(c.instances, func(in *instance) bool { return in.ID == id || in.Interface == id })
		if at >= 0 && prefix == "i" {
			return kindInstance, c.instances[at].Created
		}
		if at >= 0 {
			return kindInterface, c.instances[at].Created
		}
	case "ami":
		if i := c.images[id]; i != nil && i.Owner == Account {
			return kindImage, i.Created
		}
	case "snap":
		if s := c.snapshots[id]; s != nil && s.Owner == Account {
			return kindSnapshot, s.Started
		}
	case "vol":
		if v := c.volumes[id]; v != nil {
			return kindVolume, v.Created
		}
	case "sg":
		if g := c.groups[id]; g != nil {
			return kindGroup, g.Created
		}
	case "sir":
		at := slices.IndexFunc(c.spots, func(r *spotRequest) bool { return r.ID == id })
		if at >= 0 {
			return kindSpot, c.spots[at].Created
		}
	}
	return kind{}, time.Time{}
}
