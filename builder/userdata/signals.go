// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// parent is the process that has started this one: Packer, when it is a plugin.
var parent = os.Getppid()

// parentInterval is how often to look whether Packer is still there.
const parentInterval = time.Second

var (
	errPackerGone = errors.New("packer is gone")
	errHungUp     = errors.New("the terminal has hung up")
)

// contextUntilPackerEnds returns a context that ends with ctx, and when the Packer process ends: it was killed, or it
// died of SIGHUP, which it does not handle. The bake then cleans up as if it was cancelled. As long as it runs, SIGHUP
// does not end this process, nor does a write to Packer's end of a pipe; the RPC server, which main waits for, waits
// for the bake.
//
// The channel is closed by the second SIGINT. Packer passes none on, and a terminal sends them to plugins as well.
func contextUntilPackerEnds(ctx context.Context) (context.Context, <-chan struct{}, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	hurry := make(chan struct{})
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt)
	if !signal.Ignored(syscall.SIGHUP) { // as it is under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	pipe := make(chan os.Signal, 1) // only to be asked for: https://pkg.go.dev/os/signal#hdr-SIGPIPE
	signal.Notify(pipe, syscall.SIGPIPE)
	ended := make(chan struct{})
	go func() {
		look := time.NewTicker(parentInterval)
		defer look.Stop()
		for interrupts := 0; ; {
			select {
			case <-ended:
				return
			case <-look.C:
				if os.Getppid() != parent {
					cancel(errPackerGone)
				}
			case s := <-signals:
				if s == syscall.SIGHUP {
					cancel(errHungUp)
				} else if interrupts++; interrupts == 2 {
					close(hurry)
				}
			}
		}
	}()
	return ctx, hurry, func() {
		signal.Stop(signals)
		signal.Stop(pipe)
		close(ended)
		cancel(nil)
	}
}
