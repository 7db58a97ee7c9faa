// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ledger is the list of what a bake has brought into being and has to undo, in the order it came to exist. An entry is
// made before the call that makes the thing: a call can take effect and its answer still be lost.
type ledger struct {
	mu      sync.Mutex
	entries []*entry
}

// entry is one thing that exists, or may exist.
type entry struct {
	what string // in words, with its id as soon as that is known
	undo func(context.Context) error
	how  func() []string // the commands with which a person undoes it; nil when there are none
}

// add notes that something is about to exist.
func (l *ledger) add(what string, undo func(context.Context) error) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &entry{what: what, undo: undo}
	l.entries = append(l.entries, e)
	return e
}

// by notes with which commands a person undoes it.
func (e *entry) by(how func() []string) *entry {
	e.how = how
	return e
}

// commands are those that undo everything, in their order.
func (l *ledger) commands() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, e := range slices.Backward(l.entries) {
		if e.how != nil {
			all = append(all, e.how()...)
		}
	}
	return all
}

// keep takes something out of the list: it is what the bake was for, or it does not exist.
func (l *ledger) keep(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = slices.DeleteFunc(l.entries, func(other *entry) bool { return other == e })
}

// remove removes one thing now. What cannot be removed stays in the list.
func (l *ledger) remove(ctx context.Context, e *entry) error {
	if err := e.undo(ctx); err != nil {
		return fmt.Errorf("remove %s: %w", e.what, err)
	}
	l.keep(e)
	return nil
}

// list says what exists, the oldest first.
func (l *ledger) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, e := range l.entries {
		all = append(all, e.what)
	}
	return all
}

// undo removes everything, the newest first, and goes on when something cannot be removed. What it could not remove
// stays in the list, and in the error. Patience says how long each may take.
func (l *ledger) undo(ctx context.Context, patience func(context.Context) (context.Context, context.CancelFunc)) error {
	l.mu.Lock()
	entries := l.entries
	l.entries = nil
	l.mu.Unlock()
	var errs []error
	var left []*entry
	for _, e := range slices.Backward(entries) {
		ctx, cancel := patience(ctx)
		if err := e.undo(ctx); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", e.what, err))
			left = append(left, e)
		}
		cancel()
	}
	slices.Reverse(left)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(left, l.entries...)
	return errors.Join(errs...)
}
