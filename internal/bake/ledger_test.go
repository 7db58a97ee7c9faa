// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bake

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/scratch"
)

// noLimit is the limit of an undo in tests: none.
func noLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

// addTo adds an entry that records when it is undone, and then returns an error.
func addTo(l *Ledger, undone *[]string, what string, err error) *Entry {
	return l.Add(what, func(context.Context) error {
		*undone = append(*undone, what)
		return err
	}, func() []string { return []string{"remove-" + what} })
}

func TestLedgerUndoesNewestFirstAndKeepsWhatFails(t *testing.T) {
	var l Ledger
	var undone []string
	addTo(&l, &undone, "group", nil)
	addTo(&l, &undone, "role", errors.New("in use"))
	addTo(&l, &undone, "machine", errors.New("denied"))
	image := addTo(&l, &undone, "image", nil)
	addTo(&l, &undone, "log", nil)
	l.Release(image)
	err := l.UndoAll(t.Context(), noLimit)
	if diff := cmp.Diff([]string{"log", "machine", "role", "group"}, undone); diff != "" {
		t.Errorf("undone (-want +got):\n%s", diff)
	}
	if err == nil || err.Error() != "remove machine: denied\nremove role: in use" {
		t.Errorf("the error is %v", err)
	}
	if diff := cmp.Diff([]string{"role", "machine"}, l.List()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"remove-machine", "remove-role"}, l.Commands()); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestLedgerUndoesOneEntry(t *testing.T) {
	var l Ledger
	var undone []string
	group := addTo(&l, &undone, "group", nil)
	machine := addTo(&l, &undone, "machine", errors.New("denied"))
	if err := l.Undo(t.Context(), group); err != nil {
		t.Error(err)
	}
	if err := l.Undo(t.Context(), machine); err == nil || err.Error() != "remove machine: denied" {
		t.Errorf("the error is %v", err)
	}
	if diff := cmp.Diff([]string{"machine"}, l.List()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// What is made while the ledger is undone stays in it, after what could not be undone.
func TestLedgerKeepsEntriesThatAreAddedDuringUndo(t *testing.T) {
	var l Ledger
	var undone []string
	addTo(&l, &undone, "machine", errors.New("denied"))
	l.Add("group", func(context.Context) error {
		addTo(&l, &undone, "copy", nil)
		return nil
	}, nil)
	if err := l.UndoAll(t.Context(), noLimit); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff([]string{"machine", "copy"}, l.List()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestLedgerGivesEachEntryItsOwnTime(t *testing.T) {
	var l Ledger
	var given, ended []context.Context
	for range 2 {
		l.Add("machine", func(ctx context.Context) error {
			given = append(given, ctx)
			if ctx.Err() == nil {
				ended = append(ended, ctx)
			}
			return nil
		}, nil)
	}
	if err := l.UndoAll(t.Context(), noLimit); err != nil {
		t.Error(err)
	}
	if len(ended) != 2 || given[0] == given[1] || given[0].Err() == nil || given[1].Err() == nil {
		t.Errorf("%d of %d undos began with their own time, which ends with them", len(ended), len(given))
	}
}

func TestLedgerRemovesDirectory(t *testing.T) {
	var l Ledger
	parent := filepath.Join(t.TempDir(), "a b")
	if err := os.Mkdir(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, err := scratch.In(parent)
	if err != nil {
		t.Fatal(err)
	}
	e := l.AddDirectory(dir)
	if diff := cmp.Diff([]string{"rm -rf '" + dir.String() + "'"}, l.Commands()); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	if err := l.Undo(t.Context(), e); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir.String()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
}
