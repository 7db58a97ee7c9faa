// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"slices"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// Register is a RegisterImage request. Its devices have snapshots of the account only.
type Register struct {
	Region, Name, Description, Architecture, RootDevice string
	Devices                                             []ImageDevice
	BootMode, TPM, IMDS, SriovNet                       string
	ENA                                                 bool
	Tags                                                Tags
}

// RegisterImage creates an image of snapshots. It is available at once, because nothing is copied.
func (c *Cloud) RegisterImage(n Register) (Image, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.checkImageName(n.Region, n.Name); err != nil {
		return Image{}, err
	}
	if n.TPM != "" && n.BootMode != "uefi" {
		return Image{}, apierror.Errorf("InvalidParameterValue", "TPM support requires the boot mode uefi, not '%s'.",
			n.BootMode)
	}
	if !slices.ContainsFunc(n.Devices,
		func(d ImageDevice) bool { return d.Name == n.RootDevice && d.SnapshotID != "" }) {
		return Image{}, apierror.Errorf("InvalidBlockDeviceMapping", "The root device %s has no snapshot.",
			n.RootDevice)
	}
	for i := range n.Devices {
		d := &n.Devices[i]
		if d.SnapshotID == "" {
			continue
		}
		s, err := c.ownSnapshot(n.Region, d.SnapshotID)
		if err != nil {
			return Image{}, err
		}
		if s.State != "completed" {
			return Image{}, apierror.Errorf("InvalidSnapshot.InvalidState", "The snapshot '%s' is not completed.", s.ID)
		}
		if d.Encrypted || d.KMSKey != "" {
			return Image{}, apierror.Errorf("InvalidBlockDeviceMapping",
				"The encryption of %s is that of its snapshot and cannot be specified.", d.Name)
		}
		d.Size, d.Encrypted, d.KMSKey = max(d.Size, s.Size), s.Encrypted, s.KMSKey
	}
	image := &Image{
		ID: NewID("ami-"), Region: n.Region, Name: n.Name, Description: n.Description, Owner: Account,
		State:        "available",
		Architecture: n.Architecture, Created: time.Now().UTC().Truncate(time.Millisecond), RootDevice: n.RootDevice,
		Devices: n.Devices,
		Tags:    n.Tags, ENA: n.ENA, SriovNet: n.SriovNet, BootMode: n.BootMode, TPM: n.TPM, IMDS: n.IMDS,
	}
	c.images[image.ID] = image
	c.saveImage(image)
	return image.clone(), nil
}
