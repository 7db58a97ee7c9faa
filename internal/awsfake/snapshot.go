// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"slices"
	"strconv"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// Snapshot is a snapshot of the account.
type Snapshot struct {
	Region      string
	Tags        map[string]string
	Description string
	Encrypted   bool
	KMSKey      string
	Existing    bool     // it was there before the test began
	Attributes  []string // what was set since it was created, such as "CreateVolumePermission.Add.1.Group=all"
}

// RootSnapshot returns the first snapshot of an image, or nil when that does not exist.
func (a *Account) RootSnapshot(image *Image) *Snapshot { return a.Snapshots[image.Snapshots[0]] }

// createSnapshot creates the snapshot of an image, and returns its id.
func (a *Account) createSnapshot(imageID string, q query) string {
	id := snapshotPrefix + imageID
	a.Snapshots[id] = &Snapshot{
		Region: q.region, Tags: Tags(q.form, "snapshot"), Description: describeSnapshot(imageID, q),
		Encrypted: q.get("Encrypted") == "true", KMSKey: q.get("KmsKeyId"),
	}
	return id
}

// describeSnapshot returns what EC2 says about a snapshot of an image.
func describeSnapshot(imageID string, q query) string {
	if q.action == "CopyImage" {
		return "Copied for DestinationAmi " + imageID + " from SourceAmi " + q.get("SourceImageId") + " for"
	}
	return "Created by CreateImage(" + q.get("InstanceId") + ") for " + imageID
}

func (a *Account) deleteSnapshot(region, id string) *Failure {
	for _, image := range a.Images {
		if slices.Contains(image.Snapshots, id) {
			return badRequest(awscall.CodeSnapshotInUse)
		}
	}
	if snapshot := a.Snapshots[id]; snapshot == nil || snapshot.Region != region {
		return badRequest(awscall.CodeSnapshotNotFound)
	}
	delete(a.Snapshots, id)
	return nil
}

func (a *Account) describeSnapshots(q query) string {
	var items []string
	wanted := values(q.form, "SnapshotId.")
	if q.get("Filter.1.Name") == "snapshot-id" {
		wanted = values(q.form, "Filter.1.Value.")
	}
	for id, snapshot := range a.Snapshots {
		matches := slices.Contains(wanted, id) ||
			len(wanted) == 0 && snapshot.Tags[bake.TagBake] == q.get("Filter.1.Value.1")
		if snapshot.Region == q.region && matches {
			items = append(items, a.snapshotXML(id)+value("kmsKeyId", snapshot.KMSKey)+
				value("description", snapshot.Description)+tagSet(snapshot.Tags))
		}
	}
	return list("snapshotSet", items...)
}

func (a *Account) snapshotXML(id string) string {
	snapshot := a.Snapshots[id]
	return value("snapshotId", id) + value("encrypted", strconv.FormatBool(snapshot != nil && snapshot.Encrypted))
}
