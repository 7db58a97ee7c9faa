// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"slices"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// Snapshots with the given ids, or all that the region shows, oldest first.
func (c *Cloud) Snapshots(region string, ids []string) ([]Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Snapshot
	for _, s := range c.snapshots {
		if here(s.Region, region) {
			one := s.clone()
			one.Progress = c.progress(s)
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b Snapshot) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID)) })
	return chosen(kindSnapshot, all, ids, func(s Snapshot) string { return s.ID })
}

// progress is how much of a snapshot is done, in percent.
func (c *Cloud) progress(s *Snapshot) int {
	if s.State == "completed" {
		return 100
	}
	if c.options.Delays.Image <= 0 {
		return 0
	}
	return min(99, int(100*time.Since(s.Started)/c.options.Delays.Image))
}

// CreateSnapshot of a stopped instance's root volume, or an empty record for any other volume.
func (c *Cloud) CreateSnapshot(region, volume, description string, tags Tags) (Snapshot, error) {
	if err := kindVolume.check(volume); err != nil {
		return Snapshot{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.volumes[volume]
	if v == nil || !here(v.Region, region) {
		return Snapshot{}, kindVolume.missing(volume)
	}
	s := c.pendingSnapshot(v, description, tags)
	in := c.rootOf(v)
	c.start(func() { c.fill(s, in) })
	return s.clone(), nil
}

// rootOf is the instance whose root device the volume is, or nil.
func (c *Cloud) rootOf(v *Volume) *instance {
	for _, in := range c.instances {
		if in.ID == v.Instance && in.RootDevice == v.Device {
			return in
		}
	}
	return nil
}

func (c *Cloud) fill(s *Snapshot, in *instance) {
	began := time.Now()
	var err error
	if in != nil {
		in.holding.Lock()
		err = c.options.Disks.Clone(in.disk, SnapshotDisk(c.options.Images, s.ID))
		in.holding.Unlock()
	}
	c.wait(c.options.Delays.Image - time.Since(began))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.options.Log("%s failed: %v", s.ID, err)
		s.State = "error"
	case c.snapshots[s.ID] == nil || c.closed:
		c.forget(s.ID)
	default:
		s.State = "completed"
		c.keepSnapshot(s)
	}
}

// DeleteSnapshot refuses a snapshot that an image uses.
func (c *Cloud) DeleteSnapshot(region, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.ownSnapshot(region, id); err != nil {
		return err
	}
	if image := c.usedBy(id); image != "" {
		return apierror.Errorf("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", id, image)
	}
	delete(c.snapshots, id)
	c.forget(id)
	return nil
}

// ModifySnapshot changes a snapshot the account owns.
func (c *Cloud) ModifySnapshot(region, id string, f func(*Snapshot) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.ownSnapshot(region, id)
	if err != nil {
		return err
	}
	changed := s.clone()
	if err := f(&changed); err != nil {
		return err
	}
	if err := checkSharedSnapshot(s, &changed); err != nil {
		return err
	}
	*s = changed
	c.keepSnapshot(s)
	return nil
}

func (c *Cloud) ownSnapshot(region, id string) (*Snapshot, error) {
	if err := kindSnapshot.check(id); err != nil {
		return nil, err
	}
	s := c.snapshots[id]
	if s == nil || !here(s.Region, region) {
		return nil, kindSnapshot.missing(id)
	}
	if s.Owner != Account {
		return nil, apierror.Errorf("UnauthorizedOperation", "You are not authorized to perform this operation.")
	}
	return s, nil
}

// usedBy is the id of an image that needs the snapshot; the caller holds c.mu.
func (c *Cloud) usedBy(snapshot string) string {
	for _, i := range sorted(c.images) {
		for _, d := range i.Devices {
			if d.SnapshotID == snapshot {
				return i.ID
			}
		}
	}
	return ""
}
