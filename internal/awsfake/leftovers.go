// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import "slices"

// Leftovers returns what exists in the account that did not exist before the test began, sorted: instances, images
// and the like by their ids, security groups by their names, objects by their keys.
func (a *Account) Leftovers() []string {
	var left []string
	for _, i := range append(slices.Clone(a.earlier), a.Instance) {
		if i.ID != "" && !i.Terminated {
			left = append(left, i.ID)
		}
	}
	if a.SecurityGroup != "" {
		left = append(left, a.SecurityGroup)
	}
	for id := range a.Volumes {
		left = append(left, id)
	}
	for id, image := range a.Images {
		if !image.Existing {
			left = append(left, id)
		}
	}
	for id, snapshot := range a.Snapshots {
		if !snapshot.Existing {
			left = append(left, id)
		}
	}
	for id := range a.SpotRequests {
		left = append(left, id)
	}
	for part := range a.ProfileParts {
		left = append(left, part)
	}
	left = append(left, a.Objects()...)
	slices.Sort(left)
	return left
}
