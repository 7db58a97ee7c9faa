// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"fmt"
	"os"
	"time"
)

// Import adds an image to a directory of images; fill writes its disk, a raw root file system, to a path. Labs
// that are running do not see the image.
func Import(dir, name string, fill func(disk string) error) (Image, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Image{}, fmt.Errorf("make the lab's directory: %w", err)
	}
	images, _, err := Stored(dir)
	if err != nil {
		return Image{}, err
	}
	c := &Cloud{images: map[string]*Image{}}
	for _, i := range images {
		c.images[i.ID] = &i
	}
	if err := c.checkImageName("", name); err != nil {
		return Image{}, err
	}
	id := NewID("snap-")
	path := SnapshotDisk(dir, id)
	if err := fill(path); err != nil {
		_ = os.Remove(path)
		return Image{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return Image{}, fmt.Errorf("look at the imported disk: %w", err)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	size := max((info.Size()+1<<30-1)>>30, 1)
	snapshot := Snapshot{ID: id, Owner: Account, VolumeID: "vol-ffffffff", State: "completed", Size: size, Started: now,
		Description: "Imported for " + name}
	image := Image{
		ID: NewID("ami-"), Name: name, Description: "Imported", Owner: Account, State: "available",
		Architecture: "x86_64", Created: now,
		RootDevice: DefaultRoot, ENA: true, SriovNet: "simple",
		Devices: []ImageDevice{{Name: DefaultRoot, SnapshotID: id, Size: size, Type: "gp3", DeleteOnTermination: true}},
	}
	if err := write(dir, id, snapshot); err != nil {
		return Image{}, err
	}
	return image, write(dir, image.ID, image)
}
