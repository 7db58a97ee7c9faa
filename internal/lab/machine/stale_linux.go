// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// claim locks the machine's directory while this process lives, and writes a note about what else there is to remove.
// So a directory with a note that can be locked is of a lab that was killed.
func (m *container) claim() error {
	lock, err := lockDir(m.dir)
	if err != nil {
		return err
	}
	m.lock = lock
	note := append([]string{m.name}, m.groups...)
	return os.WriteFile(filepath.Join(m.dir, noteName), []byte(strings.Join(note, "\n")), 0o600)
}

const noteName = "machine" // the machine's name, then its control groups, one per line

// lockDir fails when another process has it.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// removeStaleMachines removes what is left of the machines of killed labs: the kernel ends their processes and mounts,
// but empty control groups and directories stay.
func removeStaleMachines() {
	notes, _ := filepath.Glob(filepath.Join(os.TempDir(), machinePrefix+"*", noteName)) // the pattern is right
	for _, file := range notes {
		dir := filepath.Dir(file)
		lock, err := lockDir(dir)
		if err != nil {
			continue // its lab is running
		}
		if note, err := os.ReadFile(file); err == nil {
			lines := strings.Split(string(note), "\n")
			removeStaleMachine(dir, lines[0], lines[1:])
		}
		_ = lock.Close()
	}
}

// removeStaleMachine removes what it can. The next call removes what is left.
func removeStaleMachine(dir, name string, g groups) {
	if g.remove() != nil || removeRuntime(name) != nil {
		return
	}
	if os.Remove(filepath.Join(dir, "root")) == nil { // fails when it is mounted
		_ = os.RemoveAll(dir)
	}
}

// Tidy removes the directories that systemd-nspawn and mount have created below /run, when they are empty. Call it at
// the end of a lab.
func Tidy() {
	removeStaleMachines()
	for _, dir := range []string{
		"/run/systemd/nspawn/propagate", "/run/systemd/nspawn/locks", "/run/systemd/nspawn", "/run/mount",
	} {
		_ = os.Remove(dir) // fails when it is not empty, as it should
	}
}
