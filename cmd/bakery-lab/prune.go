// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// age is a flag: a duration that may have days, as in 30d.
type age time.Duration

const day = 24 * time.Hour

func (a *age) String() string { return strconv.Itoa(int(time.Duration(*a)/day)) + "d" }

// Set implements flag.Value.
func (a *age) Set(text string) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no number of days, as 30d is", text)
		}
		*a = age(time.Duration(n) * day)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no time such as 30d or 12h", text)
	}
	*a = age(d)
	return nil
}

// pruning are the flags of prune.
type pruning struct {
	olderThan   age
	images      bool
	dryRun, yes bool
	in          io.Reader
	out         io.Writer
	now         time.Time
}

// prune is bakery-lab prune.
func prune(args []string) (int, error) {
	p := pruning{olderThan: age(30 * day), in: os.Stdin, out: os.Stdout, now: time.Now()}
	f := flags("prune")
	f.Var(&p.olderThan, "older-than", "remove base images not used for this `TIME`, such as 30d or 12h")
	f.BoolVar(&p.images, "images", false, "remove AMIs made before that time, too, with their snapshots")
	f.BoolVar(&p.dryRun, "dry-run", false, "say what would be removed, and remove nothing")
	f.BoolVar(&p.yes, "yes", false, "do not ask")
	words, rest, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	if len(words)+len(rest) > 0 {
		return usageError("prune")
	}
	h, err := openHome()
	if err != nil {
		return 1, err
	}
	return p.run(h)
}

// run removes what is old, and nothing that a running lab could need: labs cannot start meanwhile.
func (p *pruning) run(h home) (int, error) {
	starting, err := h.lockRuns()
	if err != nil {
		return 1, err
	}
	defer starting.Close()
	old, err := p.old(h)
	if err != nil {
		return 1, err
	}
	if h.isRunning() {
		_, _ = fmt.Fprintln(p.out, "A lab is running here: its images and the base images stay.")
	}
	if len(old) == 0 {
		_, _ = fmt.Fprintln(p.out, "There is nothing to remove. bakery-lab", h.summary()+".")
		return 0, nil
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, k := range old {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\tlast used %s\n", k.kind, k.name, readable(k.size),
			k.used.Format(time.DateOnly))
	}
	_ = w.Flush() // to memory or to the terminal
	if p.dryRun {
		_, _ = fmt.Fprintf(p.out, "These would be removed: %s.\n", readable(sizes(old)))
		return 0, nil
	}
	if !p.yes && !p.confirmed(sizes(old)) {
		_, _ = fmt.Fprintln(p.out, "Nothing was removed.")
		return 1, nil
	}
	freed, err := h.remove(old)
	_, _ = fmt.Fprintf(p.out, "Removed: %s.\n", readable(freed))
	return 0, err
}

// old returns what is to be removed.
func (p *pruning) old(h home) ([]kept, error) {
	before := p.now.Add(-time.Duration(p.olderThan))
	var snapshots []string
	if p.images {
		var err error
		if snapshots, err = oldSnapshots(h.images(), before); err != nil {
			return nil, err
		}
	}
	running := h.isRunning()
	return slices.DeleteFunc(h.everything(), func(k kept) bool {
		switch k.kind {
		case keptRun:
			return false
		case keptPart:
			return running
		case keptImage:
			return running || !slices.Contains(snapshots, k.name)
		}
		return running || k.used.After(before)
	}), nil
}

// oldSnapshots returns the ids of the snapshots that were made before a time, and that no younger image uses.
func oldSnapshots(dir string, before time.Time) ([]string, error) {
	images, snapshots, err := cloud.Stored(dir)
	if err != nil {
		return nil, err
	}
	var old []string
	for _, s := range snapshots {
		inUse := slices.ContainsFunc(images, func(i cloud.Image) bool {
			return i.Created.After(before) &&
				slices.ContainsFunc(i.Devices, func(d cloud.ImageDevice) bool { return d.SnapshotID == s.ID })
		})
		if s.Suite == "" && s.Started.Before(before) && !inUse {
			old = append(old, s.ID)
		}
	}
	return old, nil
}

func (p *pruning) confirmed(size int64) bool {
	_, _ = fmt.Fprintf(p.out, "Remove these (%s)? [y/N] ", readable(size))
	answer, _ := bufio.NewReader(p.in).ReadString('\n') // without an answer: no
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer)))
}

// remove removes what is old, with the records that go with it. It returns how much was freed.
func (h home) remove(old []kept) (int64, error) {
	var freed int64
	var errs []error
	for _, k := range old {
		var err error
		switch k.kind {
		case keptBase, keptKernel, keptWork:
			err = removeBase(k)
		case keptImage:
			err = h.removeImage(k)
		default:
			err = os.RemoveAll(k.path)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		freed += k.size
	}
	return freed, errors.Join(errs...)
}

// removeBase removes a base image, or what a build that was killed has left. It fails when somebody builds an image of
// the suite, in this home or in another one with the same base images.
func removeBase(k kept) error {
	suite := strings.TrimPrefix(k.name, "build-")
	if at := strings.LastIndex(suite, "-"); at > 0 {
		suite = suite[:at]
	}
	building, err := lock(filepath.Join(filepath.Dir(k.path), suite+".lock"), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return fmt.Errorf("keep %s, which is being built: %w", k.name, err)
	}
	defer building.Close()
	// The record first: an image with one is complete.
	return errors.Join(os.RemoveAll(strings.TrimSuffix(k.path, ".img")+".json"), os.RemoveAll(k.path))
}

// removeImage removes a snapshot, and the images that use it.
func (h home) removeImage(k kept) error {
	images, _, err := cloud.Stored(h.images())
	if err != nil {
		return err
	}
	for _, i := range images {
		if slices.ContainsFunc(i.Devices, func(d cloud.ImageDevice) bool { return d.SnapshotID == k.name }) {
			if err := os.RemoveAll(filepath.Join(h.images(), i.ID+".json")); err != nil {
				return err
			}
		}
	}
	return errors.Join(os.RemoveAll(strings.TrimSuffix(k.path, ".img")+".json"), os.RemoveAll(k.path))
}
