// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package fault makes the lab's API calls fail on purpose. A Fault says which calls; its Effect says what happens to
// them. There is one type of Effect for each kind of fault, registered under its name in the text of faults.
//
// The package may not know any one service; an Effect works with what package service says of an action.
package fault

import (
	"net/http"
	"sync"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/wildcard"
)

// Fault is an effect on some calls of an action.
type Fault struct {
	Action string            // RunInstances, PutObject, ...; * for all
	Effect Effect            // what happens to the calls
	After  bool              // the action takes effect first, and the caller does not learn of it
	Count  int               // how many calls are affected; 0 for all
	Nth    int               // the first affected call among those that match, from 1; 0 is the same as 1
	Region string            // of affected calls; empty for all
	Where  map[string]string // parameters of affected calls, such as InstanceType; values may have * and ?

	text string // as Parse has read it
	seen int    // calls that matched so far
}

// String returns the text that Parse has read.
func (f *Fault) String() string { return f.text }

// Effect is what a fault does to a call.
type Effect interface {
	// Apply does it. When it returns an error, the service answers with that error, and the call is over. The error is
	// one for service.Errors. When it returns nil, the call goes on.
	Apply(c *Call) error
}

// Call is a call that a fault is applied to. Effects may change Response, Code and Abort.
type Call struct {
	*service.Request
	Service string
	Action  service.Action
	Sender  service.Sender
	// Streamed is true when nobody has read the body before Action.Do (see service.BodyStreamer).
	Streamed bool

	Response http.ResponseWriter
	Code     string            // what the lab's list of calls shows as error code, unless the action fails
	Abort    bool              // close the connection when the action has been done
	Record   func(code string) // adds the call to the lab's list of calls now, as one without a response
}

// Set is the faults of a lab. Safe for use by several goroutines. The zero value has none.
type Set struct {
	mu     sync.Mutex
	faults []Fault
}

// Add adds faults after those that are there.
func (s *Set) Add(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Clear removes all faults.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Texts returns the faults that can still affect calls, as text.
func (s *Set) Texts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts := []string{}
	for i := range s.faults {
		if !s.faults[i].usedUp() {
			texts = append(texts, s.faults[i].text)
		}
	}
	return texts
}

// For returns the first fault that affects a call, and counts the call; nil when no fault does.
func (s *Set) For(c *Call) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *Fault
	for i := range s.faults {
		f := &s.faults[i]
		if !f.matches(c) {
			continue
		}
		f.seen++
		if found == nil && f.seen >= f.Nth {
			f.use()
			found = new(*f)
		}
	}
	return found
}

const noneLeft = -1 // Count of a fault that is used up; 0 would be for all calls

func (f *Fault) usedUp() bool { return f.Count == noneLeft }

func (f *Fault) use() {
	if f.Count == 0 {
		return
	}
	if f.Count--; f.Count == 0 {
		f.Count = noneLeft
	}
}

func (f *Fault) matches(c *Call) bool {
	switch {
	case f.usedUp():
		return false
	case f.Action != c.Action.Name() && f.Action != "*":
		return false
	case f.Region != "" && f.Region != c.Region:
		return false
	}
	for name, pattern := range f.Where {
		if !wildcard.MatchEscaped(pattern, c.Action.Parameter(name)) {
			return false
		}
	}
	return true
}
