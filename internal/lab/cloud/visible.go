// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"slices"
	"strings"
	"time"
)

// NotVisibleYet returns the error for a resource that does not exist while the resource with this id is younger than
// minAge. Other text than the id of a resource is no error.
func (c *Cloud) NotVisibleYet(id string, minAge time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, made := c.creation(id)
	if made.IsZero() || time.Since(made) >= minAge {
		return nil
	}
	return k.missing(id)
}

var kindInterface = kind{"eni-", "InvalidNetworkInterfaceID.Malformed", "InvalidNetworkInterfaceID.NotFound",
	"networkInterface"}

// creation returns the kind of an id, and when its resource was created. The caller holds c.mu.
func (c *Cloud) creation(id string) (kind, time.Time) {
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
