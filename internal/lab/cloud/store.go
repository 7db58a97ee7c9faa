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
)

// Stored reads the images and snapshots in a directory, and adds the base images.
func Stored(dir string) ([]Image, []Snapshot, error) {
	images, err := readAll[Image](dir, "ami-")
	if err != nil {
		return nil, nil, err
	}
	snapshots, err := readAll[Snapshot](dir, "snap-")
	if err != nil {
		return nil, nil, err
	}
	for _, b := range base {
		i, s := b.image()
		images, snapshots = append(images, i), append(snapshots, s)
	}
	slices.SortFunc(images, func(a,
		b Image) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return images, snapshots, nil
}

// SnapshotDisk returns the file of a snapshot's data. Base images have theirs elsewhere (Options.Base).
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
			continue // another lab has deregistered it meanwhile
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

// write replaces a record in one step, so that other processes never read half of it.
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

// saveImage writes an image's record, unless it is pending: what creates it ends with the process. The caller holds
// c.mu.
func (c *Cloud) saveImage(i *Image) {
	if i.State != "pending" && i.Suite == "" {
		c.logError(write(c.options.Images, i.ID, i))
	}
}

// saveSnapshot is saveImage for a snapshot.
func (c *Cloud) saveSnapshot(s *Snapshot) {
	if s.State != "pending" && s.Suite == "" {
		c.logError(write(c.options.Images, s.ID, s))
	}
}

func (c *Cloud) logError(err error) {
	if err != nil {
		c.options.Log("%v", err)
	}
}

// removeFiles removes a record and, for a snapshot, its data.
func (c *Cloud) removeFiles(id string) {
	for _, name := range []string{id + ".json", id + ".img"} {
		if err := os.Remove(filepath.Join(c.options.Images, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.options.Log("remove %s: %v", name, err)
		}
	}
}
