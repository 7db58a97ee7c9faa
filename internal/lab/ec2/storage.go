// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"slices"
	"strconv"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

type snapshotXML struct {
	ID          string  `xml:"snapshotId"`
	VolumeID    string  `xml:"volumeId"`
	State       string  `xml:"status"`
	Started     string  `xml:"startTime"`
	Progress    string  `xml:"progress"`
	Owner       string  `xml:"ownerId"`
	OwnerAlias  string  `xml:"ownerAlias,omitempty"`
	Size        int64   `xml:"volumeSize"`
	Description string  `xml:"description"`
	Tags        *tagSet `xml:"tagSet"`
	Encrypted   bool    `xml:"encrypted"`
	KMSKey      string  `xml:"kmsKeyId,omitempty"`
	Tier        string  `xml:"storageTier"`
}

func snapshotOf(s cloud.Snapshot) snapshotXML {
	return snapshotXML{
		s.ID, s.VolumeID, s.State, stamp(s.Started), strconv.Itoa(s.Progress) + "%", s.Owner, s.OwnerAlias, s.Size,
		s.Description, tagged(s.Tags),
		s.Encrypted, s.KMSKey, "standard",
	}
}

func createSnapshot(s *Server, r *request) (any, error) {
	p := &reader{q: r.query}
	volume, description, tags := p.require("VolumeId"), p.description(), p.tags("snapshot")
	if p.err != nil {
		return nil, p.err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	made, err := s.Cloud.CreateSnapshot(r.region, volume, description, tags)
	return snapshotOf(made), err
}

func describeSnapshots(s *Server, r *request) (any, error) {
	all, err := s.Cloud.Snapshots(r.region, r.query.Strings("SnapshotId"))
	if err != nil {
		return nil, err
	}
	owners := r.query.Strings("Owner")
	all = slices.DeleteFunc(all, func(one cloud.Snapshot) bool {
		return !ownedBy(cloud.Image{Owner: one.Owner, OwnerAlias: one.OwnerAlias}, owners)
	})
	all, next, err := filteredPage(r.query, all, snapshotFields)
	if err != nil {
		return nil, err
	}
	var x struct {
		Items []snapshotXML `xml:"snapshotSet>item"`
		Next  string        `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, one := range all {
		x.Items = append(x.Items, snapshotOf(one))
	}
	return x, nil
}

func snapshotFields(s cloud.Snapshot) fields {
	return fields{tags: s.Tags, values: map[string][]string{
		"snapshot-id": {s.ID}, "volume-id": {s.VolumeID}, "status": {s.State}, "owner-id": {s.Owner},
		"owner-alias": {s.OwnerAlias},
		"description": {s.Description}, "start-time": {stamp(s.Started)},
		"volume-size": {strconv.FormatInt(s.Size, 10)},
		"encrypted":   {strconv.FormatBool(s.Encrypted)}, "progress": {strconv.Itoa(s.Progress) + "%"},
		"storage-tier": {"standard"},
	}}
}

func deleteSnapshot(s *Server, r *request) (any, error) {
	id, err := r.query.Require("SnapshotId")
	if err != nil {
		return nil, err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	return ok, s.Cloud.DeleteSnapshot(r.region, id)
}

func modifySnapshotAttribute(s *Server, r *request) (any, error) {
	id, err := r.query.Require("SnapshotId")
	if err != nil {
		return nil, err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	return ok, s.Cloud.ModifySnapshot(r.region, id, func(one *cloud.Snapshot) error {
		i := &cloud.Image{Users: one.Users, Public: one.Public} // permissions have the same form
		for _, add := range r.query.List("CreateVolumePermission.Add") {
			addPermission(i, add)
		}
		for _, remove := range r.query.List("CreateVolumePermission.Remove") {
			removePermission(i, remove)
		}
		legacyPermissions(i, r.query)
		one.Users, one.Public = i.Users, i.Public
		return nil
	})
}

func describeSnapshotAttribute(s *Server, r *request) (any, error) {
	id, err := r.query.Require("SnapshotId")
	if err != nil {
		return nil, err
	}
	all, err := s.Cloud.Snapshots(r.region, []string{id})
	if err != nil {
		return nil, err
	}
	var x struct {
		ID          string          `xml:"snapshotId"`
		Permissions []permissionXML `xml:"createVolumePermission>item"`
	}
	x.ID, x.Permissions = id, permissionsOf(cloud.Image{Users: all[0].Users, Public: all[0].Public})
	return x, nil
}

type volumeXML struct {
	ID          string          `xml:"volumeId"`
	Size        int64           `xml:"size"`
	SnapshotID  string          `xml:"snapshotId"`
	Zone        string          `xml:"availabilityZone"`
	State       string          `xml:"status"`
	Created     string          `xml:"createTime"`
	Attachments []attachmentXML `xml:"attachmentSet>item"`
	Tags        *tagSet         `xml:"tagSet"`
	Type        string          `xml:"volumeType"`
	IOPS        int64           `xml:"iops,omitempty"`
	Throughput  int64           `xml:"throughput,omitempty"`
	Encrypted   bool            `xml:"encrypted"`
	KMSKey      string          `xml:"kmsKeyId,omitempty"`
}

type attachmentXML struct {
	VolumeID            string `xml:"volumeId"`
	InstanceID          string `xml:"instanceId"`
	Device              string `xml:"device"`
	State               string `xml:"status"`
	Time                string `xml:"attachTime"`
	DeleteOnTermination bool   `xml:"deleteOnTermination"`
}

func describeVolumes(s *Server, r *request) (any, error) {
	all, err := s.Cloud.Volumes(r.region, r.query.Strings("VolumeId"))
	if err != nil {
		return nil, err
	}
	all, next, err := filteredPage(r.query, all, volumeFields)
	if err != nil {
		return nil, err
	}
	var x struct {
		Items []volumeXML `xml:"volumeSet>item"`
		Next  string      `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, v := range all {
		one := volumeXML{
			ID: v.ID, Size: v.Size, SnapshotID: v.SnapshotID, Zone: v.Zone, State: v.State, Created: stamp(v.Created),
			Tags: tagged(v.Tags),
			Type: v.Type, IOPS: v.IOPS, Throughput: v.Throughput, Encrypted: v.Encrypted, KMSKey: v.KMSKey,
		}
		if v.Instance != "" {
			one.Attachments = []attachmentXML{{v.ID, v.Instance, v.Device, "attached", stamp(v.Created),
				v.DeleteOnTermination}}
		}
		x.Items = append(x.Items, one)
	}
	return x, nil
}

func volumeFields(v cloud.Volume) fields {
	var attached []string
	if v.Instance != "" {
		attached = []string{"attached"}
	}
	return fields{tags: v.Tags, values: map[string][]string{
		"volume-id": {v.ID}, "status": {v.State}, "snapshot-id": {v.SnapshotID}, "volume-type": {v.Type},
		"availability-zone":      {v.Zone},
		"attachment.instance-id": {v.Instance}, "attachment.device": {v.Device},
		"size":              {strconv.FormatInt(v.Size, 10)},
		"attachment.status": attached, "encrypted": {strconv.FormatBool(v.Encrypted)},
		"attachment.attach-time": {stamp(v.Created)}, "multi-attach-enabled": {"false"}, "fast-restored": {"false"},
		"create-time":                      {stamp(v.Created)},
		"attachment.delete-on-termination": {strconv.FormatBool(v.DeleteOnTermination)},
	}}
}

func deleteVolume(s *Server, r *request) (any, error) {
	id, err := r.query.Require("VolumeId")
	if err != nil {
		return nil, err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	return ok, s.Cloud.DeleteVolume(r.region, id)
}
