// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// Snapshots returns the snapshots with these ids, or all that are visible in a region, oldest first.
func (c *Cloud) Snapshots(region string, ids []string) ([]Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Snapshot
	for _, s := range c.snapshots {
		if visibleIn(s.Region, region) {
			one := s.clone()
			one.Progress = c.progress(s)
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a,
		b Snapshot) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
	return selectByID(kindSnapshot, all, ids, func(s Snapshot) string { return s.ID })
}

// progress returns how much of a snapshot is done, in percent.
func (c *Cloud) progress(s *Snapshot) int {
	if s.State == "completed" {
		return 100
	}
	if c.options.Delays.Image <= 0 {
		return 0
	}
	return min(99, int(100*time.Since(s.Started)/c.options.Delays.Image))
}

// CreateSnapshot creates a snapshot of a volume. Only root volumes have data.
func (c *Cloud) CreateSnapshot(region, volume, description string, tags Tags) (Snapshot, error) {
	if err := kindVolume.check(volume); err != nil {
		return Snapshot{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.volumes[volume]
	if v == nil || !visibleIn(v.Region, region) {
		return Snapshot{}, kindVolume.missing(volume)
	}
	s := c.pendingSnapshot(v, description, tags)
	in := c.instanceWithRoot(v)
	c.start(func() { c.copyToSnapshot(s, in) })
	return s.clone(), nil
}

// instanceWithRoot returns the instance whose root device is a volume, or nil.
func (c *Cloud) instanceWithRoot(v *Volume) *instance {
	for _, in := range c.instances {
		if in.ID == v.Instance && in.RootDevice == v.Device {
			return in
		}
	}
	return nil
}

func (c *Cloud) copyToSnapshot(s *Snapshot, in *instance) {
	began := time.Now()
	var err error
	if in != nil {
		in.diskMu.Lock()
		err = c.options.Disks.Clone(in.disk, SnapshotDisk(c.options.Images, s.ID))
		in.diskMu.Unlock()
	}
	c.wait(c.options.Delays.Image - time.Since(began))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.options.Log("%s failed: %v", s.ID, err)
		s.State = "error"
	case c.snapshots[s.ID] == nil || c.closed:
		c.removeFiles(s.ID)
	default:
		s.State = "completed"
		c.saveSnapshot(s)
	}
}

// DeleteSnapshot deletes a snapshot that no image uses.
func (c *Cloud) DeleteSnapshot(region, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.ownSnapshot(region, id); err != nil {
		return err
	}
	if image := c.imageUsing(id); image != "" {
		return apierror.Errorf("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", id, image)
	}
	delete(c.snapshots, id)
	c.removeFiles(id)
	return nil
}

// ModifySnapshot changes a snapshot of the account.
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
	if err := errors.Join(c.checkPublicSnapshot(s, &changed), checkSharedSnapshot(s, &changed)); err != nil {
		return err
	}
	*s = changed
	c.saveSnapshot(s)
	return nil
}

func (c *Cloud) ownSnapshot(region, id string) (*Snapshot, error) {
	if err := kindSnapshot.check(id); err != nil {
		return nil, err
	}
	s := c.snapshots[id]
	if s == nil || !visibleIn(s.Region, region) {
		return nil, kindSnapshot.missing(id)
	}
	if s.Owner != Account {
		return nil, apierror.Errorf("UnauthorizedOperation", "You are not authorized to perform this operation.")
	}
	return s, nil
}

// imageUsing returns the id of an image that uses a snapshot, or "". The caller holds c.mu.
func (c *Cloud) imageUsing(snapshot string) string {
	for _, i := range sorted(c.images) {
		for _, d := range i.Devices {
			if d.SnapshotID == snapshot {
				return i.ID
			}
		}
	}
	return ""
}
