// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// home is the directory of all that stays after a lab has ended:
//
//	base/       base images, by package baseimage
//	images/     AMIs and snapshots: a .json each, and the snapshots' disks
//	run/XXXX/   files of a running lab, which locks the directory
type home struct{ dir string }

func openHome() (home, error) {
	dir := os.Getenv("BAKERY_LAB_HOME")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return home{}, fmt.Errorf("find the cache directory (set BAKERY_LAB_HOME): %w", err)
		}
		dir = filepath.Join(cache, "bakery-lab")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return home{}, fmt.Errorf("find BAKERY_LAB_HOME: %w", err)
	}
	return home{dir}, nil
}

func (h home) images() string { return filepath.Join(h.dir, "images") }

// base returns the cache of base images, which several homes may share.
func (h home) base() string {
	if dir := os.Getenv("BAKERY_LAB_BASE"); dir != "" {
		return dir
	}
	return h.dir
}

func (h home) allRuns() string { return filepath.Join(h.dir, "run") }

// lockRuns prevents labs from starting until the file is closed.
func (h home) lockRuns() (*os.File, error) {
	if err := os.MkdirAll(h.allRuns(), 0o700); err != nil {
		return nil, fmt.Errorf("make the lab's directory: %w", err)
	}
	return lock(filepath.Join(h.allRuns(), ".lock"), unix.LOCK_EX)
}

// runDirectory creates a directory for a lab, and removes those of labs that were killed. closeDir removes it.
func (h home) runDirectory() (dir string, closeDir func(), err error) {
	starting, err := h.lockRuns()
	if err != nil {
		return "", nil, err
	}
	defer starting.Close()
	h.removeStale()
	if dir, err = os.MkdirTemp(h.allRuns(), ""); err != nil {
		return "", nil, fmt.Errorf("make the lab's directory: %w", err)
	}
	own, err := lock(filepath.Join(dir, "lock"), unix.LOCK_EX)
	if err != nil {
		return "", nil, err
	}
	return dir, func() {
		_ = os.RemoveAll(dir)
		_ = own.Close()
	}, nil
}

// removeStale removes the directories of labs that were killed and, when no lab is running, the disks of images that
// were not completed.
func (h home) removeStale() {
	for _, dir := range h.deadRuns() {
		_ = os.RemoveAll(dir)
	}
	if h.isRunning() {
		return
	}
	disks, _ := filepath.Glob(filepath.Join(h.images(), "snap-*.img"))
	for _, d := range disks {
		if _, err := os.Stat(strings.TrimSuffix(d, ".img") + ".json"); errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(d)
		}
	}
}

// runs returns the directories of labs, those that are running and those of labs that were killed.
func (h home) runs() (live, dead []string) {
	entries, _ := os.ReadDir(h.allRuns())
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		dir := filepath.Join(h.allRuns(), e.Name())
		f, err := lock(filepath.Join(dir, "lock"), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			live = append(live, dir)
			continue
		}
		dead = append(dead, dir)
		if f != nil {
			_ = f.Close()
		}
	}
	return live, dead
}

func (h home) deadRuns() []string {
	_, dead := h.runs()
	return dead
}

func (h home) isRunning() bool {
	live, _ := h.runs()
	return len(live) > 0
}

func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the lab's directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), how); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock the lab's directory: %w", err)
	}
	return f, nil
}

// find returns an image by its id or its name; of several with that name, the newest.
func (h home) find(name string) (cloud.Image, error) {
	all, _, err := cloud.Stored(h.images())
	if err != nil {
		return cloud.Image{}, err
	}
	for _, i := range slices.Backward(all) {
		if i.ID == name || i.Name == name {
			return i, nil
		}
	}
	return cloud.Image{}, fmt.Errorf("there is no image %s here; bakery-lab images lists them", name)
}
