// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// machinePrefix is the prefix of all names of a machine that are visible on this computer: its control groups and
// systemd-nspawn's runtime directory.
const machinePrefix = "bakery-lab-"

// groups are a machine's control groups, one in each hierarchy that systemd uses. Without them, all machines would
// share one "payload" group and stop each other's services.
type groups []string

// makeGroups creates the groups below those of this process.
func makeGroups(name string) (groups, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("make a control group for the machine: %w", err)
	}
	var made groups
	for line := range strings.Lines(string(own)) {
		dir := hierarchy(line)
		if dir == "" {
			continue
		}
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, errors.Join(fmt.Errorf("make a control group for the machine: %w", err), made.remove())
		}
		made = append(made, dir)
	}
	return made, nil
}

// hierarchy returns the directory of a line of /proc/self/cgroup; "" when systemd does not use it.
func hierarchy(line string) string {
	parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
	if len(parts) != 3 {
		return ""
	}
	candidates := map[string][]string{
		"":             {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}, // hybrid, unified
		"name=systemd": {"/sys/fs/cgroup/systemd"},
	}
	for _, root := range candidates[parts[1]] {
		dir := filepath.Join(root, parts[2])
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			return dir
		}
	}
	return ""
}

// unified returns the group of version 2; "" when this computer has none.
func (g groups) unified() string {
	for _, dir := range g {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.controllers")); err == nil {
			return dir
		}
	}
	return ""
}

// leaf returns the group of version 2 that a process from outside can join: that of the machine's PID 1, once systemd
// has made it, because a group with others below it may have no processes then.
func (g groups) leaf() string {
	dir := g.unified()
	if scope := filepath.Join(dir, "init.scope"); dir != "" {
		if _, err := os.Stat(scope); err == nil {
			return scope
		}
	}
	return dir
}

// remove removes the groups and those below them when the last process has ended.
func (g groups) remove() error {
	var problems []error
	for _, dir := range g {
		var err error
		// A killed process leaves its group a moment after it was waited for.
		for limit := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if err = removeTree(dir); !errors.Is(err, syscall.EBUSY) || time.Now().After(limit) {
				break
			}
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// removeTree removes a group and those below it. Only the directories can be removed; that removes the files.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}
