// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
)

type nspawn struct{}

// Nspawn runs machines with systemd-nspawn. A machine shares the host's kernel:
// it has no kernel log, no DMI (cloud-init therefore asks its metadata service
// without a token), and its halt looks like a power-off. Everything else is
// its own: disk, PID 1, network.
func Nspawn() Runner { return nspawn{} }

var validID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$`)

// Start mounts the disk, makes the network and boots.
func (nspawn) Start(ctx context.Context, s Spec) (Machine, error) {
	if !validID.MatchString(s.ID) {
		return nil, fmt.Errorf("start machine %q: its id becomes a host name: lower-case letters, digits and dashes, at most 50", s.ID)
	}
	sweep()
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
	go m.live()
	return m, nil
}

// prepare gets everything a boot needs. What it got before an error is in m,
// for release.
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
	return m.claim()
}

func (m *container) root() string       { return filepath.Join(m.dir, "root") }
func (m *container) resolvConf() string { return filepath.Join(m.dir, "resolv.conf") }

// arguments are systemd-nspawn's (systemd-nspawn(1)).
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
		// Nothing of it is to be known to the host's systemd, if it has one.
		"--register=no", "--keep-unit", "--link-journal=no",
		"--console=interactive", // --console=pipe shows nothing of a boot
		"--network-namespace-path=" + m.network.path(),
		// The image's own files stay what they are; this one is laid over, so
		// that no name server of the lab gets into an AMI.
		"--resolv-conf=off", "--timezone=off",
		"--bind-ro=" + m.resolvConf() + ":/etc/resolv.conf",
		// Left out by default because the network is not of its making.
		"--capability=CAP_NET_ADMIN,CAP_IPC_LOCK",
	}
}

// release gives everything back, in the reverse order. The disk is free after it.
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
	if m.dir != "" && errors.Join(problems...) == nil { // never what may still be mounted
		problems = append(problems, os.RemoveAll(m.dir))
	}
	if m.lock != nil {
		_ = m.lock.Close()
	}
	return errors.Join(problems...)
}

// removeRuntime removes what systemd-nspawn leaves where /run is no tmpfs.
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
