// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"flag"
	"strings"
	"sync"
	"testing"
)

// slots limits how many tests do something expensive at once. A test that has a slot keeps it until it ends, and its
// subtests use the same one: no test waits for a slot while it has another, so tests cannot wait for each other.
type slots struct {
	limit *int

	once    sync.Once
	taken   chan struct{}
	mu      sync.Mutex
	holders map[string]bool // the names of tests
}

// newSlots makes slots whose number is a flag.
func newSlots(name string, limit int, usage string) *slots {
	return &slots{limit: flag.Int(name, limit, usage), holders: map[string]bool{}}
}

// acquire waits for a slot, unless the test or one that it is a subtest of has one.
func (s *slots) acquire(t *testing.T) {
	t.Helper()
	if s.held(t.Name()) {
		return
	}
	s.once.Do(func() { s.taken = make(chan struct{}, max(1, *s.limit)) })
	s.taken <- struct{}{}
	s.hold(t)
	t.Cleanup(func() { <-s.taken })
}

// hold lets a test and its subtests pass without a slot.
func (s *slots) hold(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holders[t.Name()] = true
}

// held reports whether a test or one that it is a subtest of has a slot.
func (s *slots) held(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; ; name = name[:strings.LastIndexByte(name, '/')] {
		if s.holders[name] {
			return true
		}
		if !strings.Contains(name, "/") {
			return false
		}
	}
}
