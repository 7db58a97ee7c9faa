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
	files := sandbox.Files()
	ctx := contextUntilEnd(files[1])
	if _, err := h.baseDisk(ctx, "bookworm"); err != nil {
		return 1, err
	}
	machines, err := s.runner.machines(ctx, h, strings.Fields(s.consoles))
	if err != nil {
		return 1, err
	}
	// Temporary files of machines are in the lab's directory, so that they are removed with it, however the lab ends.
	temporary := filepath.Join(*run, "tmp")
	if err := errors.Join(os.Mkdir(temporary, 0o700), os.Setenv("TMPDIR", temporary)); err != nil {
		return 1, fmt.Errorf("make the lab's directory: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", s.listen)
	if err != nil {
		return 1, fmt.Errorf("listen: %w", err)
	}
	o := s.options(h, *run, listener.Addr().String())
	o.Runner, o.StrictIMDS = machines, s.runner.virtualMachine
	l, err := lab.New(o)
	if err != nil {
		return 1, err
	}
	if err := json.NewEncoder(files[0]).Encode(l.Env()); err != nil {
		return 1, errors.Join(fmt.Errorf("announce the lab: %w", err), l.Close())
	}
	return 0, serveUntilEnd(ctx, listener, l)
}

// contextUntilEnd returns a context that ends when reading the file ends.
func contextUntilEnd(f *os.File) context.Context {
	ctx, end := context.WithCancelCause(context.Background())
	go func() {
		defer func() { end(errEnded) }()
		_, _ = io.Copy(io.Discard, f)
	}()
	return ctx
}

// errEnded is why the lab ends.
var errEnded = errors.New("interrupted")

func (s *settings) options(h home, run, address string) lab.Options {
	o := s.lab
	o.Images, o.Run, o.Address, o.Log = h.images(), run, address, os.Stderr
	o.Disks, o.Base = cloud.Disks{Clone: disk.Clone, Grow: disk.Grow}, h.baseDisk
	return o
}

// serveUntilEnd serves until the context ends.
func serveUntilEnd(ctx context.Context, listener net.Listener, l *lab.Lab) error {
	// No limit on the time of reading or writing a whole request: objects may be large and slow.
	s := &http.Server{Handler: l, ReadHeaderTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(listener) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	if s.Shutdown(last) != nil {
		_ = s.Close()
	}
	return errors.Join(err, l.Close())
}

// shutdownLimit is how long current requests may take when the lab ends.
const shutdownLimit = 2 * time.Second
