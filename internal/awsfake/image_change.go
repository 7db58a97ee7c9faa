// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import "maps"

// changeImages does the calls that change what an image or a snapshot says, and their tags.
func (a *Account) changeImages(q query) (answer string, failure *Failure, known bool) {
	switch q.action {
	case "ModifyImageAttribute", "EnableImageDeprecation", "EnableImageDeregistrationProtection",
		"DisableImageDeregistrationProtection":
		failure = a.changeImage(q)
	case "ModifySnapshotAttribute":
		snapshot := a.Snapshots[q.get("SnapshotId")]
		snapshot.Attributes = append(snapshot.Attributes, Parameters(q.form, "CreateVolumePermission.Add.")...)
	case "CreateTags":
		a.createTags(q)
	case "DeleteTags":
		a.deleteTags(q)
	case "DescribeTags":
		return list("tagSet"), nil, true // nothing has expired
	default:
		return "", nil, false
	}
	return success, failure, true
}

func (a *Account) changeImage(q query) *Failure {
	image, failure := a.imageIn(q.region, q.get("ImageId"))
	if failure != nil {
		return failure
	}
	switch q.action {
	case "EnableImageDeregistrationProtection":
		image.Protection = "enabled"
	case "DisableImageDeregistrationProtection":
		image.Protection = ""
	}
	image.Attributes = append(image.Attributes, Parameters(q.form,
		"LaunchPermission.Add.", "ProductCode.", "ImdsSupport.", "DeprecateAt", "WithCooldown")...)
	return nil
}

// createTags adds one tag. Those of other things than images and snapshots are forgotten.
func (a *Account) createTags(q query) {
	for _, id := range values(q.form, "ResourceId.") {
		tags := map[string]string{q.get("Tag.1.Key"): q.get("Tag.1.Value")}
		if image := a.Images[id]; image != nil {
			maps.Copy(tags, image.Tags)
			image.Tags = tags
		}
		if snapshot := a.Snapshots[id]; snapshot != nil {
			maps.Copy(tags, snapshot.Tags)
			snapshot.Tags = tags
		}
	}
}

func (a *Account) deleteTags(q query) {
	key := q.get("Tag.1.Key")
	for _, id := range values(q.form, "ResourceId.") {
		switch {
		case a.Images[id] != nil:
			delete(a.Images[id].Tags, key)
		case a.Snapshots[id] != nil:
			delete(a.Snapshots[id].Tags, key)
		default:
			a.t.Errorf("tags were deleted of %s, which does not exist", id)
		}
	}
}
