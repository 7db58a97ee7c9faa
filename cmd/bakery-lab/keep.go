// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// kept is a file or a directory that stays when a lab has ended.
type kept struct {
	kind string // one of the kinds below
	name string
	path string
	size int64     // what it takes on the disk: disks are sparse
	used time.Time // last, of a base image; of others, when it was made
}

// The kinds of what a lab keeps.
const (
	keptBase   = "base image"
	keptKernel = "QEMU kernel"
	keptWork   = "unfinished base image"
	keptImage  = "image"    // the disk of its snapshot
	keptRun    = "dead run" // files of a lab that was killed
	keptPart   = "unfinished image"
)

// everything returns all that the labs of this home keep. Runs of labs that are alive are not in it.
func (h home) everything() []kept {
	var all []kept
	add := func(kind, pattern string) {
		paths, _ := filepath.Glob(pattern) // no pattern is malformed
		for _, path := range paths {
			if k, ok := keptAt(kind, path); ok {
				all = append(all, k)
			}
		}
	}
	add(keptBase, filepath.Join(h.base(), "base", "*-*.img"))
	add(keptKernel, filepath.Join(h.base(), "base", "kernel*-*"))
	add(keptWork, filepath.Join(h.base(), "base", "build-*"))
	add(keptImage, filepath.Join(h.images(), "snap-*.img"))
	for i := range all {
		record := strings.TrimSuffix(all[i].path, ".img") + ".json"
		if _, err := os.Stat(record); all[i].kind == keptImage && err != nil {
			all[i].kind = keptPart
		}
	}
	for _, path := range h.deadRuns() {
		if k, ok := keptAt(keptRun, path); ok {
			all = append(all, k)
		}
	}
	return all
}

func keptAt(kind, path string) (kept, bool) {
	info, err := os.Lstat(path)
	if err != nil {
		return kept{}, false // removed meanwhile
	}
	return kept{kind, strings.TrimSuffix(filepath.Base(path), ".img"), path, sizeOf(path), info.ModTime()}, true
}

// sizeOf returns what a file or a directory takes on the disk.
func sizeOf(path string) int64 {
	var total int64
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // removed meanwhile, or not readable: it is not counted
		}
		if info, err := d.Info(); err == nil {
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				total += s.Blocks * 512 // the unit of st_blocks
			}
		}
		return nil
	})
	return total
}

// summary says what is kept, and where, in one line.
func (h home) summary() string {
	var parts []string
	var total int64
	all := h.everything()
	for _, kind := range []string{keptBase, keptKernel, keptImage, keptWork, keptPart, keptRun} {
		ofKind := slices.DeleteFunc(slices.Clone(all), func(k kept) bool { return k.kind != kind })
		if len(ofKind) == 0 {
			continue
		}
		total += sizes(ofKind)
		noun := kind
		if len(ofKind) > 1 {
			noun += "s"
		}
		parts = append(parts, fmt.Sprintf("%d %s (%s)", len(ofKind), noun, readable(sizes(ofKind))))
	}
	if len(parts) == 0 {
		return "keeps nothing in " + h.dir
	}
	where := h.dir
	if h.base() != h.dir {
		where += " and " + h.base()
	}
	return fmt.Sprintf("keeps %s in %s: %s; bakery-lab prune removes what is old", readable(total), where,
		strings.Join(parts, ", "))
}

func sizes(all []kept) (total int64) {
	for _, k := range all {
		total += k.size
	}
	return total
}

// readable formats a size: 1.5 GB.
func readable(bytes int64) string {
	const unit = 1000
	if bytes < unit*unit {
		return fmt.Sprintf("%d kB", (bytes+unit-1)/unit)
	}
	size, names := float64(bytes)/(unit*unit), []string{"MB", "GB", "TB"}
	for len(names) > 1 && size >= unit {
		size, names = size/unit, names[1:]
	}
	return fmt.Sprintf("%.1f %s", size, names[0])
}
