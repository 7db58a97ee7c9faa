// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Suites are the Debian releases base images exist of.
var Suites = []string{"bullseye", "bookworm", "trixie"}

// base says the fixed numbers of a suite's base image: they never change, so that templates can
// name them.
var base = map[string]struct{ version, number string }{
	"bullseye": {"11", "0bace000000000011"},
	"bookworm": {"12", "0bace000000000012"},
	"trixie":   {"13", "0bace000000000013"},
}

// debianOwner is the account Debian publishes its AMIs from.
const debianOwner = "136693071363"

// DefaultRoot is the root device of the images here.
const DefaultRoot = "/dev/xvda"

// baseSize is the size in GiB that a base image's volume claims; Debian's own AMIs have 8.
const baseSize = 8

// BaseImageID is the id of a suite's base image.
func BaseImageID(suite string) string { return "ami-" + base[suite].number }

// BaseVersion is a suite's Debian version, "12" for bookworm.
func BaseVersion(suite string) string { return base[suite].version }

func baseImage(suite string) (Image, Snapshot) {
	b := base[suite]
	created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	snapshot := Snapshot{
		ID: "snap-" + b.number, Owner: debianOwner, OwnerAlias: "amazon", VolumeID: "vol-ffffffff", State: "completed",
		Size: baseSize, Started: created, Description: "Debian " + b.version, Public: true, Suite: suite,
	}
	image := Image{
		ID: "ami-" + b.number, Name: "debian-" + b.version + "-amd64", Description: "Debian " + b.version + " (" + suite + ") of bakery-lab",
		Owner: debianOwner, OwnerAlias: "amazon", State: "available", Architecture: "x86_64", Created: created,
		RootDevice: DefaultRoot, Public: true, ENA: true, SriovNet: "simple", BootMode: "uefi-preferred", Suite: suite,
		Devices: []ImageDevice{{Name: DefaultRoot, SnapshotID: snapshot.ID, Size: baseSize, Type: "gp3", DeleteOnTermination: true}},
	}
	return image, snapshot
}

// Stored reads what a directory of images holds, and adds the base images.
func Stored(dir string) ([]Image, []Snapshot, error) {
	images, err := readAll[Image](dir, "ami-")
	if err != nil {
		return nil, nil, err
	}
	snapshots, err := readAll[Snapshot](dir, "snap-")
	if err != nil {
		return nil, nil, err
	}
	for _, suite := range Suites {
		i, s := baseImage(suite)
		images, snapshots = append(images, i), append(snapshots, s)
	}
	slices.SortFunc(images, func(a, b Image) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return images, snapshots, nil
}

// SnapshotDisk is where a snapshot's data is; base images have theirs elsewhere (Options.Base).
func SnapshotDisk(dir, id string) string { return filepath.Join(dir, id+".img") }

func readAll[T any](dir, prefix string) ([]T, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the lab's images: %w", err)
	}
	var all []T
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		var one T
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deregistered by another lab meanwhile
		}
		if err == nil {
			err = json.Unmarshal(b, &one)
		}
		if err != nil {
			return nil, fmt.Errorf("read the lab's image record %s: %w", e.Name(), err)
		}
		all = append(all, one)
	}
	return all, nil
}

// write replaces a record in one step, so that another process never reads half of it.
func write(dir, id string, record any) error {
	b, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return fmt.Errorf("write the lab's record of %s: %w", id, err)
	}
	f, err := os.CreateTemp(dir, "."+id+"-*")
	if err != nil {
		return fmt.Errorf("write the lab's record of %s: %w", id, err)
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, id+".json"))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write the lab's record of %s: %w", id, err)
	}
	return nil
}

// keepImage and keepSnapshot write through; pending things are not kept, as what makes them ends
// with the process. Callers hold c.mu.
func (c *Cloud) keepImage(i *Image) {
	if i.State != "pending" && i.Suite == "" {
		c.kept(write(c.options.Images, i.ID, i))
	}
}

func (c *Cloud) keepSnapshot(s *Snapshot) {
	if s.State != "pending" && s.Suite == "" {
		c.kept(write(c.options.Images, s.ID, s))
	}
}

func (c *Cloud) kept(err error) {
	if err != nil {
		c.options.Log("%v", err)
	}
}

// forget removes a record and, for a snapshot, its data.
func (c *Cloud) forget(id string) {
	for _, name := range []string{id + ".json", id + ".img"} {
		if err := os.Remove(filepath.Join(c.options.Images, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.options.Log("remove %s: %v", name, err)
		}
	}
}
