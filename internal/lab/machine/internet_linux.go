// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// resolvConf is the machine's /etc/resolv.conf: slirp4netns' own resolver,
// which asks whatever the host asks.
const resolvConf = "nameserver 10.0.2.3\n"

// internet is a running slirp4netns: it has a TAP device eth0 inside the
// machine's namespace and makes the host's own connections of what comes out of
// it. The host's firewall, routes and addresses are not touched.
type internet struct {
	process *exec.Cmd
	leash   *os.File // slirp4netns ends when this closes, also because we died
}

// connect returns when the interface is configured.
func connect(ctx context.Context, namespace string) (*internet, error) {
	ready, readyEnd, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("connect the machine to the internet: %w", err)
	}
	defer func() { _ = ready.Close() }()
	leashEnd, leash, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect the machine to the internet: %w", err), readyEnd.Close())
	}
	var said bytes.Buffer
	// --disable-host-loopback: what listens on the host's 127.0.0.1 is not the
	// machine's business. A large MTU saves most of the work per byte.
	cmd := exec.Command(slirp, "--configure", "--mtu=65520", "--disable-host-loopback",
		"--ready-fd=3", "--exit-fd=4", "--netns-type=path", namespace, "eth0")
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.ExtraFiles = []*os.File{readyEnd, leashEnd}
	err = cmd.Start()
	_, _ = readyEnd.Close(), leashEnd.Close()
	if err != nil {
		_ = leash.Close()
		return nil, fmt.Errorf("connect the machine to the internet (Debian package %s): %w", slirp, err)
	}
	i := &internet{process: cmd, leash: leash}
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	if n, _ := ready.Read(make([]byte, 1)); n == 0 { // it ended instead
		i.close()
		return nil, fmt.Errorf("connect the machine to the internet: slirp4netns: %s", strings.TrimSpace(said.String()))
	}
	return i, nil
}

func (i *internet) close() {
	_ = i.leash.Close()
	_ = i.process.Process.Kill()
	_ = i.process.Wait()
}
