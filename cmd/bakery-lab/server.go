// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sandbox"
)

// server is the part of run and serve in the sandbox. It writes its environment to its first file, and ends when its
// second file ends: when the command that started it ends in any way.
func server(args []string) (int, error) {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP) // the command that started it handles them
	var s settings
	f := flags("_server")
	s.define(f)
	f.StringVar(&s.envFile, "env-file", "", "")
	run := f.String("run-directory", "", "")
	if _, _, err := parse(f, args); err != nil {
		return usageExit, err
	}
	h, err := openHome()
	if err != nil {
		return 1, err
	}
	if _, err := h.baseDisk(context.Background(), "bookworm"); err != nil {
		return 1, err
	}
	machines, err := s.runner.machines(context.Background(), h, strings.Fields(s.consoles))
	if err != nil {
		return 1, err
	}
	// Temporary files of machines are in the lab's directory, so that they are removed with it, however the lab ends.
	temporary := filepath.Join(*run, "tmp")
	if err := errors.Join(os.Mkdir(temporary, 0o700), os.Setenv("TMPDIR", temporary)); err != nil {
		return 1, fmt.Errorf("make the lab's directory: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", s.listen)
	if err != nil {
		return 1, fmt.Errorf("listen: %w", err)
	}
	o := s.options(h, *run, listener.Addr().String())
	o.Runner, o.StrictIMDS = machines, s.runner.virtualMachine
	l, err := lab.New(o)
	if err != nil {
		return 1, err
	}
	files := sandbox.Files()
	if err := json.NewEncoder(files[0]).Encode(l.Env()); err != nil {
		return 1, errors.Join(fmt.Errorf("announce the lab: %w", err), l.Close())
	}
	return 0, serveUntil(files[1], listener, l)
}

func (s *settings) options(h home, run, address string) lab.Options {
	o := s.lab
	o.Images, o.Run, o.Address, o.Log = h.images(), run, address, os.Stderr
	o.Disks, o.Base = cloud.Disks{Clone: disk.Clone, Grow: disk.Grow}, h.baseDisk
	return o
}

// serveUntil serves until reading the file ends.
func serveUntil(end *os.File, listener net.Listener, l *lab.Lab) error {
	// No limit on the time of reading or writing a whole request: objects may be large and slow.
	s := &http.Server{Handler: l, ReadHeaderTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(listener) }()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, end)
		close(ended)
	}()
	var err error
	select {
	case err = <-failed:
	case <-ended:
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		_ = s.Close()
	}
	return errors.Join(err, l.Close())
}

// shutdownLimit is how long current requests may take when the lab ends.
const shutdownLimit = 2 * time.Second
