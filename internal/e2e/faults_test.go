// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// cleaning is what a bake says when it begins to clean up.
const cleaning = "Cleaning up..."

// atOnce is how many bakes run at the same time. They mostly wait.
const atOnce = 48

// TestFaults breaks every call that bakes make in every way, and reads from the lab what has become of each bake. With -full
// it is the whole product, else every action and every fault at least once.
func TestFaults(t *testing.T) {
	onlyQuickLabs(t)
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, []byte("#!/bin/sh\n: "+incompressible(17<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	all := scenarios(large)
	called := make([][]broken, len(all))
	m := &matrix{faults: faults(), results: map[string]int{}}
	inParallelDo(len(all), func(i int) {
		t.Run(all[i].name, func(t *testing.T) { called[i] = all[i].record(t) })
	})
	if t.Failed() {
		return
	}
	m.covers(t, called)
	cases := m.product(all, called)
	if !*full {
		cases = covering(cases)
	}
	began := time.Now()
	next := make(chan trial)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for c := range next {
				t.Run(c.String(), func(t *testing.T) { m.note(t, c, c.run(t)) })
			}
		})
	}
	for _, c := range cases {
		next <- c
	}
	close(next)
	workers.Wait()
	t.Logf("%d cases took %s\n%s", len(cases), time.Since(began).Round(time.Second), m.table(all, cases))
}

func inParallelDo(n int, do func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

// trial is one scenario with one call broken in one way.
type trial struct {
	scenario *scenario
	fault    fault
	call     broken
}

func (c trial) String() string {
	return fmt.Sprintf("%s/%s/%s", c.scenario.name, c.call, c.fault.name)
}

// text is the fault as the lab is told of it.
func (c trial) text() string {
	action, code := c.call.action, c.fault.code(c.call)
	nth := max(c.call.nth, 1)
	switch {
	case c.fault.kind == lasting && c.fault.all:
		return "" // see trial.expire
	case c.fault.kind == lasting:
		return fmt.Sprintf("%s=%s:nth=%d:1000000", action, code, nth)
	}
	return fmt.Sprintf("%s=%s:nth=%d", action, code, nth)
}

// ran is how a bake has ended.
type ran struct {
	artifact packersdk.Artifact
	said     string
	err      error
	there    account  // what the bake has added
	gone     []string // the images of the bake before that are not there any more
}

// run bakes with the fault, and tells what is wrong with the end.
func (c trial) run(t *testing.T) []string {
	q := c.scenario.lab(t)
	before := q.account(t)
	c.arm(t, q)
	r := c.scenario.bake(t, q)
	q.mends(t)
	r.take(q.account(t), before)
	wrong := c.scenario.judge(c.scenario.expect(c.fault, c.call), r)
	if len(wrong) > 0 {
		t.Errorf("%s\n%s\nerror: %v\n%s\n%s", c, strings.Join(wrong, "\n"), r.err, r.said, r.there)
	}
	return wrong
}

// arm breaks the call, at once or when the bake begins to clean up.
func (c trial) arm(t *testing.T, q *quick) {
	t.Helper()
	if c.fault.all {
		c.expire(t, q)
		return
	}
	if c.call.nth > 0 {
		q.breaks(t, c.text())
		return
	}
	q.heard = func(line string) {
		if line == cleaning {
			q.breaks(t, c.text())
		}
	}
}

// expire lets every call fail from this one on, whatever it is.
func (c trial) expire(t *testing.T, q *quick) {
	t.Helper()
	every := "*=" + c.fault.code(c.call)
	if c.call.nth == 0 {
		q.heard = func(line string) {
			if line == cleaning {
				q.breaks(t, every)
			}
		}
		return
	}
	q.breaks(t, fmt.Sprintf("%s=%s:nth=%d:1000000", c.call.action, c.fault.code(c.call), c.call.nth))
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			if slices.ContainsFunc(q.Calls(), func(call labserver.Call) bool { return call.Code == c.fault.code(c.call) }) {
				q.breaks(t, every)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	q.ended = func() { stop(); done.Wait() }
}

// lab is one for a scenario, on which the bake before it is done.
func (s *scenario) lab(t *testing.T) *quick {
	t.Helper()
	guest := s.guest
	if guest == nil {
		guest = (*labtest.Machine).PowerOff
	}
	q := quickLabOf(t, func(m *labtest.Machine) { guest(m) }, nil)
	if s.before != nil {
		if _, said, err := q.bake(t, s.before); err != nil {
			t.Fatalf("the bake before: %v\n%s", err, said)
		}
	}
	for _, text := range s.breaks {
		q.breaks(t, text)
	}
	return q
}

// bake runs the builder as the scenario says.
func (s *scenario) bake(t *testing.T, q *quick) *ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute) // more than any of the builder's own limits
	defer cancel()
	r := &ran{}
	r.artifact, r.said, r.err = q.bakeUntil(ctx, t, s.bakes(q))
	return r
}

// take notes what has come and what has gone.
func (r *ran) take(now, before account) {
	for id := range before.images {
		if _, there := now.images[id]; !there {
			r.gone = append(r.gone, id)
		}
	}
	r.there = now.since(before)
}

// mends takes all faults off the lab.
func (q *quick) mends(t *testing.T) {
	t.Helper()
	if q.ended != nil {
		q.ended()
	}
	q.heard, q.ended = nil, nil
	q.request(t, "DELETE", "faults", "")
}

// record bakes without a fault and says which calls there are to break.
func (s *scenario) record(t *testing.T) []broken {
	q := s.lab(t)
	before := q.account(t)
	from := len(q.Calls())
	cleans := -1
	q.heard = func(line string) {
		if line == cleaning {
			cleans = len(q.Calls())
		}
	}
	r := s.bake(t, q)
	calls := q.Calls()[from:]
	q.mends(t)
	r.take(q.account(t), before)
	e := expected{succeeds: s.fails == ""}
	if s.fails != "" {
		e.says = []string{s.fails}
	}
	for _, wrong := range s.judge(e, r) {
		t.Errorf("without a fault: %s\n%v\n%s", wrong, r.err, r.said)
	}
	if cleans < from {
		t.Fatalf("the bake did not say that it cleans up:\n%s", r.said)
	}
	return s.brokenCalls(calls[:cleans-from], calls[cleans-from:])
}

// polled are the actions that are called until something has come to be: how often cannot be foretold.
var polled = []string{"DescribeInstances", "GetConsoleOutput"}

// brokenCalls are the first two calls of each action and the last, and those of the cleaning up.
func (s *scenario) brokenCalls(working, cleaning []labserver.Call) []broken {
	count := map[string]int{}
	var all []broken
	for _, c := range working {
		count[c.Action]++
	}
	seen := map[string]int{}
	for _, c := range working {
		seen[c.Action]++
		n, of := seen[c.Action], count[c.Action]
		looks := slices.Contains(polled, c.Action)
		if n <= 2 || n == of && !looks {
			all = append(all, broken{c.Service, c.Action, n, of, looks})
		}
	}
	clean := map[string]bool{}
	for _, c := range cleaning {
		if !clean[c.Action] {
			clean[c.Action] = true
			all = append(all, broken{service: c.Service, action: c.Action})
		}
	}
	return slices.DeleteFunc(all, func(c broken) bool { return len(s.only) > 0 && !slices.Contains(s.only, c.action) })
}

// matrix is the whole test.
type matrix struct {
	faults []fault

	mu      sync.Mutex
	results map[string]int
}

func (m *matrix) product(all []scenario, called [][]broken) []trial {
	var cases []trial
	for i := range all {
		for _, c := range called[i] {
			for _, f := range m.faults {
				if f.code(c) != "" {
					cases = append(cases, trial{&all[i], f, c})
				}
			}
		}
	}
	// Those that take minutes first, so that nothing waits for them at the end.
	slices.SortStableFunc(cases, func(x, y trial) int { return y.minutes() - x.minutes() })
	return cases
}

// minutes is 1 for what is retried until a limit of the builder's is over.
func (c trial) minutes() int {
	if c.fault.slow && (c.call.nth == 0 || reading(c.call.action)) {
		return 1
	}
	return 0
}

// covering is a part of the cases in which there is every action and every fault.
func covering(cases []trial) []trial {
	var part []trial
	actions, kinds := map[string]int{}, map[string]bool{}
	rank := map[string]int{}
	for _, c := range cases {
		if c.minutes() > 0 {
			continue
		}
		key := c.call.action
		if c.call.nth == 0 {
			key += " in cleaning up"
		}
		rank[key]++
		// Another fault for each action in turn, and each fault at least once.
		if actions[key] < 2 && rank[key]%7 == len(actions)%7 || !kinds[c.fault.name] {
			actions[key]++
			kinds[c.fault.name] = true
			part = append(part, c)
		}
	}
	return part
}

func (m *matrix) note(t *testing.T, c trial, wrong []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := "wrong"
	if e := c.scenario.expect(c.fault, c.call); len(wrong) == 0 && e.succeeds {
		key = "succeeded as expected"
	} else if len(wrong) == 0 {
		key = "failed as expected"
	}
	m.results[key+" "+string(c.fault.name)]++
	m.results[key]++
	for _, w := range wrong {
		if strings.HasPrefix(w, "left behind") {
			m.results["leftovers"]++
		}
	}
}

// table is the outcome.
func (m *matrix) table(all []scenario, cases []trial) string {
	actions := map[string]bool{}
	for _, c := range cases {
		actions[c.call.action] = true
	}
	var s strings.Builder
	w := tabwriter.NewWriter(&s, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "fault\tcases\tsucceeded as expected\tfailed as expected\twrong\t")
	for _, f := range m.faults {
		n := 0
		for _, c := range cases {
			if c.fault.name == f.name {
				n++
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t\n", f.name, n, m.results["succeeded as expected "+f.name], m.results["failed as expected "+f.name], m.results["wrong "+f.name])
	}
	_ = w.Flush()
	fmt.Fprintf(&s, "%d scenarios, %d actions, %d faults, %d cases: %d succeeded and %d failed as expected, %d wrong, %d with leftovers\n",
		len(all), len(actions), len(m.faults), len(cases), m.results["succeeded as expected"], m.results["failed as expected"],
		m.results["wrong"], m.results["leftovers"])
	return s.String()
}
