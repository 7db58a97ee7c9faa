// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// Instances returns the instances with these ids, or all of a region.
func (c *Cloud) Instances(region string, ids []string) ([]Instance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	chosen, err := c.findInstances(region, ids)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		chosen = slices.DeleteFunc(slices.Clone(c.instances),
			func(in *instance) bool { return !visibleIn(in.Region, region) })
	}
	all := make([]Instance, 0, len(chosen))
	for _, in := range chosen {
		all = append(all, in.clone())
	}
	return all, nil
}

// Instance returns an instance of any region.
func (c *Cloud) Instance(id string) (Instance, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, in := range c.instances {
		if in.ID == id {
			return in.clone(), true
		}
	}
	return Instance{}, false
}

// Console returns what GetConsoleOutput shows, and the time of that text. Only Nitro instances have the latest text;
// that of others comes late.
func (c *Cloud) Console(region, id string, v ConsoleView) ([]byte, time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, err := c.findInstances(region, []string{id})
	if err != nil {
		return nil, time.Time{}, err
	}
	if t, _ := InstanceType(all[0].Type); !t.Nitro() {
		if v.Latest {
			return nil, time.Time{}, apierror.Errorf("UnsupportedOperation",
				"This instance type does not support retrieving the latest console logs. "+
					"Supported instance types are Nitro-based.")
		}
		v.Lag = max(v.Lag, c.options.Delays.Console)
	}
	text, at := all[0].console.view(v, time.Now())
	return text, at, nil
}

// Exec runs a command as root in a running instance. EC2 has no such call; it is for tests.
func (c *Cloud) Exec(ctx context.Context, id string, argv []string, in io.Reader, out, errs io.Writer) error {
	c.mu.Lock()
	at := slices.IndexFunc(c.instances, func(in *instance) bool { return in.ID == id })
	if at < 0 {
		c.mu.Unlock()
		return kindInstance.missing(id)
	}
	m := c.instances[at].machine
	c.mu.Unlock()
	if m == nil {
		return apierror.Errorf("IncorrectInstanceState", "The instance '%s' is not running.", id)
	}
	return m.Exec(ctx, argv, in, out, errs)
}

// Modify changes attributes of an instance. With needsStop it must be stopped, as on EC2 for attributes that apply at
// boot.
func (c *Cloud) Modify(region, id string, needsStop bool, f func(*Instance) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, err := c.findInstances(region, []string{id})
	if err != nil {
		return err
	}
	in := all[0]
	if needsStop && in.State != Stopped {
		return apierror.Errorf("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", id)
	}
	changed := in.clone()
	if err := f(&changed); err != nil {
		return err
	}
	if len(changed.UserData) > UserDataLimit {
		return apierror.Errorf("InvalidParameterValue", "User data is limited to %d bytes", UserDataLimit)
	}
	if err := checkBehavior(changed.ShutdownBehavior); err != nil {
		return err
	}
	if _, ok := InstanceType(changed.Type); !ok {
		return apierror.Errorf("InvalidInstanceAttributeValue", "The instance type '%s' does not exist", changed.Type)
	}
	if changed.Metadata.Tags == "enabled" {
		if err := checkMetadataTags(changed.Tags); err != nil {
			return err
		}
	}
	for _, g := range changed.SecurityGroups {
		if c.groups[g] == nil {
			return kindGroup.missing(g)
		}
	}
	for _, d := range changed.Devices {
		if v := c.volumes[d.VolumeID]; v != nil {
			v.DeleteOnTermination = d.DeleteOnTermination
		}
	}
	in.Instance = changed
	c.updateForwards()
	return nil
}

// newVolume adds a volume. The caller holds c.mu.
func (c *Cloud) newVolume(in *instance, d ImageDevice, tags Tags) InstanceDevice {
	v := &Volume{
		ID: NewID("vol-"), Region: in.Region, Zone: in.Zone, State: "in-use", SnapshotID: d.SnapshotID,
		Type: cmp.Or(d.Type, "gp2"),
		Size: max(d.Size, 1), IOPS: d.IOPS, Throughput: d.Throughput, Encrypted: d.Encrypted, KMSKey: d.KMSKey,
		Created: in.LaunchTime, Tags: maps.Clone(tags), Instance: in.ID, Device: d.Name,
		DeleteOnTermination: d.DeleteOnTermination,
	}
	c.volumes[v.ID] = v
	return InstanceDevice{Name: d.Name, VolumeID: v.ID, AttachTime: in.LaunchTime,
		DeleteOnTermination: d.DeleteOnTermination}
}

// dropVolumes deletes or detaches the volumes of a terminated instance. The caller holds c.mu.
func (c *Cloud) dropVolumes(in *instance) {
	for _, d := range in.Devices {
		v := c.volumes[d.VolumeID]
		if v == nil {
			continue
		}
		if v.DeleteOnTermination {
			delete(c.volumes, v.ID)
			continue
		}
		v.State, v.Instance, v.Device = "available", "", ""
	}
	in.Devices = nil
}

// Volumes returns the volumes with these ids, or all of a region.
func (c *Cloud) Volumes(region string, ids []string) ([]Volume, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Volume
	for _, v := range sorted(c.volumes) {
		if visibleIn(v.Region, region) {
			all = append(all, v.clone())
		}
	}
	return selectByID(kindVolume, all, ids, func(v Volume) string { return v.ID })
}

// DeleteVolume deletes a volume that is not attached.
func (c *Cloud) DeleteVolume(region, id string) error {
	if err := kindVolume.check(id); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.volumes[id]
	if v == nil || !visibleIn(v.Region, region) {
		return kindVolume.missing(id)
	}
	if v.Instance != "" {
		return apierror.Errorf("VolumeInUse", "Volume %s is currently attached to %s", id, v.Instance)
	}
	delete(c.volumes, id)
	return nil
}
