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

// resolvConf is the machine's /etc/resolv.conf: the resolver of slirp4netns, which asks this computer's resolver.
const resolvConf = "nameserver 10.0.2.3\n"

// internet is a running slirp4netns. It has a TAP device eth0 in the machine's namespace, and opens connections on this
// computer for those of the machine. It does not change this computer's firewall, routes and addresses.
type internet struct {
	process  *exec.Cmd
	exitPipe *os.File // slirp4netns ends when this is closed, also by the end of this process
}

// connect returns when the interface is configured.
func connect(ctx context.Context, namespace string) (*internet, error) {
	ready, readyEnd, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("connect the machine to the internet: %w", err)
	}
	defer func() { _ = ready.Close() }()
	exitPipeEnd, exitPipe, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect the machine to the internet: %w", err), readyEnd.Close())
	}
	var output bytes.Buffer
	// --disable-host-loopback: the machine must not reach what listens on this computer's 127.0.0.1. A large MTU saves
	// most of the work for each byte.
	cmd := exec.Command(slirp, "--configure", "--mtu=65520", "--disable-host-loopback",
		"--ready-fd=3", "--exit-fd=4", "--netns-type=path", namespace, "eth0")
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.ExtraFiles = []*os.File{readyEnd, exitPipeEnd}
	err = cmd.Start()
	_, _ = readyEnd.Close(), exitPipeEnd.Close()
	if err != nil {
		_ = exitPipe.Close()
		return nil, fmt.Errorf("connect the machine to the internet (Debian package %s): %w", slirp, err)
	}
	i := &internet{process: cmd, exitPipe: exitPipe}
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	if n, _ := ready.Read(make([]byte, 1)); n == 0 { // it ended instead
		i.close()
		return nil, fmt.Errorf("connect the machine to the internet: slirp4netns: %s",
			strings.TrimSpace(output.String()))
	}
	return i, nil
}

func (i *internet) close() {
	_ = i.exitPipe.Close()
	_ = i.process.Process.Kill()
	_ = i.process.Wait()
}
