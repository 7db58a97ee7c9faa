// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/amibakery/packer-plugin-bakery/internal/scratch"
)

// Ledger lists what a bake has made and has to undo, in the order it was made. An entry is added before the call that
// makes the thing: a call can take effect and its answer still be lost. The zero value is ready for use, by several
// goroutines.
type Ledger struct {
	mu      sync.Mutex
	entries []*Entry
}

// Entry is one thing that exists, or may exist.
type Entry struct {
	What     string // in words, with its id as soon as that is known
	undo     func(context.Context) error
	commands func() []string // with which a person undoes it; nil when there are none
}

// Add adds a thing that is about to exist, with the call that undoes it and the commands with which a person does.
func (l *Ledger) Add(what string, undo func(context.Context) error, commands func() []string) *Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &Entry{What: what, undo: undo, commands: commands}
	l.entries = append(l.entries, e)
	return e
}

// AddDirectory adds a temporary directory of this computer. The next run removes it too, when this one has ended.
func (l *Ledger) AddDirectory(dir *scratch.Dir) *Entry {
	return l.Add("directory "+dir.String(), func(context.Context) error { return dir.Remove() },
		func() []string { return []string{"rm -rf " + Word(dir.String())} })
}

// Release takes an entry out of the list: the thing is what the bake was for, or it does not exist.
func (l *Ledger) Release(e *Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = slices.DeleteFunc(l.entries, func(other *Entry) bool { return other == e })
}

// Undo undoes one entry now. What cannot be undone stays in the list.
func (l *Ledger) Undo(ctx context.Context, e *Entry) error {
	if err := e.undo(ctx); err != nil {
		return fmt.Errorf("remove %s: %w", e.What, err)
	}
	l.Release(e)
	return nil
}

// UndoAll undoes all entries, the newest first, and goes on when one cannot be undone. What it could not undo stays in
// the list, and in the error. limit returns the context of each.
func (l *Ledger) UndoAll(
	ctx context.Context, limit func(context.Context) (context.Context, context.CancelFunc),
) error {
	l.mu.Lock()
	entries := l.entries
	l.entries = nil
	l.mu.Unlock()
	var errs []error
	var left []*Entry
	for _, e := range slices.Backward(entries) {
		ctx, cancel := limit(ctx)
		if err := e.undo(ctx); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", e.What, err))
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

// List returns what exists in words, the oldest first.
func (l *Ledger) List() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, e := range l.entries {
		all = append(all, e.What)
	}
	return all
}

// Commands returns the commands that undo everything, in their order.
func (l *Ledger) Commands() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, e := range slices.Backward(l.entries) {
		if e.commands != nil {
			all = append(all, e.commands()...)
		}
	}
	return all
}
