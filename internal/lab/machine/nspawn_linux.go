// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
)

type nspawn struct{}

// Nspawn returns a Runner that uses systemd-nspawn. A machine has this computer's kernel: it has no kernel log and no
// DMI (so cloud-init sends requests without a token to the metadata service), and its halt looks like a power-off. All
// else is its own: disk, PID 1, network.
func Nspawn() Runner { return nspawn{} }

// Start mounts the disk, creates the network and boots.
func (nspawn) Start(ctx context.Context, s Spec) (Machine, error) {
	if err := CheckID(s.ID); err != nil {
		return nil, err
	}
	removeStaleMachines()
	m := &container{spec: s, name: machinePrefix + s.ID, done: make(chan struct{})}
	err := m.prepare(ctx)
	if err == nil {
		err = m.powerOn()
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start machine %s: %w", s.ID, err), m.release())
	}
	go m.waitForEnd()
	return m, nil
}

// prepare creates all that a boot needs. After an error, m has what was created before, for release.
func (m *container) prepare(ctx context.Context) (err error) {
	if m.dir, err = os.MkdirTemp("", m.name+"-"); err != nil {
		return fmt.Errorf("make its directory: %w", err)
	}
	if err := os.Mkdir(m.root(), 0o700); err != nil {
		return fmt.Errorf("make its directory: %w", err)
	}
	if m.unmount, err = disk.Mount(m.spec.Disk, m.root(), false); err != nil {
		return err
	}
	if m.network, err = newNetwork(); err != nil {
		return err
	}
	if err := m.network.serve(m.spec.Listeners); err != nil {
		return err
	}
	resolver := ""
	if m.spec.Internet {
		if m.internet, err = connect(ctx, m.network.path()); err != nil {
			return err
		}
		resolver = resolvConf
	}
	if err := os.WriteFile(m.resolvConf(), []byte(resolver), 0o644); err != nil {
		return fmt.Errorf("write its resolv.conf: %w", err)
	}
	if m.groups, err = makeGroups(m.name); err != nil {
		return err
	}
	_ = protectSettings(m.groups.unified()) // SettingsProtected has said whether this computer can
	return m.claim()
}

func (m *container) root() string       { return filepath.Join(m.dir, "root") }
func (m *container) resolvConf() string { return filepath.Join(m.dir, "resolv.conf") }

// arguments returns those of systemd-nspawn(1).
func (m *container) arguments() []string {
	hostname := m.spec.Hostname
	if hostname == "" {
		hostname = m.spec.ID
	}
	return []string{
		"--quiet", "--boot", "--settings=no",
		"--directory=" + m.root(),
		"--machine=" + m.name,
		"--hostname=" + hostname,
		// Do not register the machine with this computer's systemd, if there is one.
		"--register=no", "--keep-unit", "--link-journal=no",
		"--console=interactive", // --console=pipe does not show the boot
		"--network-namespace-path=" + m.network.path(),
		// The file is mounted over the image's own, so that no name server of the lab gets into an AMI.
		"--resolv-conf=off", "--timezone=off",
		"--bind-ro=" + m.resolvConf() + ":/etc/resolv.conf",
		// systemd-nspawn drops it by default, because it has not created the network itself.
		"--capability=CAP_NET_ADMIN,CAP_IPC_LOCK",
	}
}

// release releases all resources, in reverse order. Afterwards the disk is not in use.
func (m *container) release() error {
	if m.internet != nil {
		m.internet.close()
	}
	if m.network != nil {
		m.network.close()
	}
	var problems []error
	if m.unmount != nil {
		problems = append(problems, m.unmount())
	}
	problems = append(problems, m.groups.remove(), removeRuntime(m.name))
	if m.dir != "" && errors.Join(problems...) == nil { // never remove what may still be mounted
		problems = append(problems, os.RemoveAll(m.dir))
	}
	if m.lock != nil {
		_ = m.lock.Close()
	}
	return errors.Join(problems...)
}

// removeRuntime removes what systemd-nspawn leaves behind where /run is not a tmpfs.
func removeRuntime(name string) error {
	dir, err := os.OpenRoot("/run/systemd/nspawn/propagate")
	if err == nil {
		err = errors.Join(dir.Remove(name), dir.Close())
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
