// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"path"
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
	"github.com/amibakery/packer-plugin-bakery/internal/userdata"
)

// cleaning is what a bake prints when it begins to clean up.
const cleaning = "Cleaning up..."

// atOnce is how many bakes run at the same time. They mostly wait, with -full for minutes.
func atOnce() int {
	if *full {
		return 192
	}
	return 48
}

// TestFaults breaks every call of each scenario in every way, and checks how the bake ended and what it left in the
// account. With -full it runs every combination, otherwise every action and every fault at least once.
func TestFaults(t *testing.T) {
	t.Parallel()
	labSlots.hold(t) // atOnce is the limit here
	large := filepath.Join(t.TempDir(), "large")
	// Compressed, it is larger than a part of an upload, which is 5 MiB.
	text := "#!/bin/sh\n: " + incompressible(userdata.MaxSize-1024)
	if err := os.WriteFile(large, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	source := write(t, map[string]string{
		"ami.env": "NAME=faults\n", "readme.md": "Breaks.\n", "script/install.sh": "#!/bin/sh\ntrue\n",
		"fs/etc/noise": incompressible(20000),
	})
	all := scenarios(large, source)
	called := make([][]brokenCall, len(all))
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
		cases = sample(cases)
	}
	cases = part(cases)
	began := time.Now()
	next := make(chan faultCase)
	var workers sync.WaitGroup
	t.Logf("%d cases", len(cases))
	for range atOnce() {
		workers.Go(func() {
			for c := range next {
				t.Run(c.String(), func(t *testing.T) { m.count(t, c, c.run(t)) })
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

// faultCase is one scenario with one call broken in one way.
type faultCase struct {
	scenario *scenario
	fault    fault
	call     brokenCall
}

func (c faultCase) String() string {
	return fmt.Sprintf("%s/%s/%s", c.scenario.name, c.call, c.fault.name)
}

// text is the fault in the lab's form.
func (c faultCase) text() string {
	many := c.fault.many
	if c.fault.kind == permanent {
		many = 1e6
	}
	text := fmt.Sprintf("%s=%s:nth=%d:%d", c.call.action, c.fault.code(c.call), max(c.call.nth, 1), max(many, 1))
	if c.call.key != "" {
		text += ":Key=*" + c.call.key
	}
	return text
}

// bakeResult is the outcome of a bake.
type bakeResult struct {
	artifact packersdk.Artifact
	printed  string
	err      error
	there    account  // what the bake has added
	gone     []string // the images of the bake before that were removed
	old      []string // their snapshots
}

// run bakes with the fault and returns what is wrong with the outcome.
func (c faultCase) run(t *testing.T) []string {
	around := c.around()
	q := c.scenario.lab(t, around)
	before := c.scenario.accountBefore(t, q)
	if c.scenario.before != nil && c.fault.name == faultNotVisibleYet {
		time.Sleep(notVisibleFor) // what was there before the bake is visible to it
	}
	c.inject(t, q)
	stop := around.overwrite(t, q)
	r := c.scenario.bake(t, q)
	stop()
	q.clearFaults(t)
	r.take(q.account(t), before)
	wrong := c.scenario.check(c.scenario.expect(c.fault, c.call), r)
	if len(wrong) > 0 {
		t.Errorf("%s, %s\n%s\nerror: %v\n%s\n%s", c, around.name, strings.Join(wrong, "\n"), r.err, r.printed, r.there)
	}
	return wrong
}

// inject breaks the call, at once or when the bake begins to clean up.
func (c faultCase) inject(t *testing.T, q *quickLab) {
	t.Helper()
	if c.fault.all {
		c.expireCredentials(t, q)
		return
	}
	if c.call.nth > 0 {
		q.addFault(t, c.text())
		return
	}
	q.onLine = func(line string) {
		if line == cleaning {
			q.addFault(t, c.text())
		}
	}
}

// expireCredentials makes every call fail from this one on.
func (c faultCase) expireCredentials(t *testing.T, q *quickLab) {
	t.Helper()
	const every = "*=expired"
	if c.call.nth == 0 {
		q.onLine = func(line string) {
			if line == cleaning {
				q.addFault(t, every)
			}
		}
		return
	}
	q.addFault(t, c.text())
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			if slices.ContainsFunc(q.Calls(), func(call labserver.Call) bool {
				return strings.Contains(call.Code, "xpired") || withoutErrorBody(c.call) && call.Status == 400
			}) {
				q.addFault(t, every)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	q.afterBake = func() { stop(); done.Wait() }
}

// lab starts the lab of a scenario, with what is around it, and does the bake before it.
func (s *scenario) lab(t *testing.T, around around) *quickLab {
	t.Helper()
	if s.sweeps {
		return sweptLab(t)
	}
	guest := s.guest
	if guest == nil {
		guest = labtest.Baker{}.Guest // powers off at once where nothing is to be reported
	}
	q := startQuickLabWith(t, around.guest(guest))
	if s.account != nil {
		s.account(t, q)
	}
	if s.before != nil {
		if _, printed, err := q.bake(t, s.before); err != nil {
			t.Fatalf("the bake before: %v\n%s", err, printed)
		}
	}
	for _, text := range s.ownFaults {
		q.addFault(t, text)
	}
	return q
}

// accountBefore returns what is in the account before the bake.
func (s *scenario) accountBefore(t *testing.T, q *quickLab) account {
	t.Helper()
	if s.sweeps {
		return account{}
	}
	return q.account(t)
}

// bake runs the builder as the scenario says.
func (s *scenario) bake(t *testing.T, q *quickLab) *bakeResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute) // more than any of the builder's own limits
	defer cancel()
	r := &bakeResult{}
	r.artifact, r.printed, r.err = q.runBuilder(ctx, t, s.bakes(q))
	return r
}

// take sets what the bake has added and removed.
func (r *bakeResult) take(now, before account) {
	for id := range before.images {
		if _, there := now.images[id]; !there {
			r.gone = append(r.gone, id)
			r.old = append(r.old, before.images[id].snapshots...)
		}
	}
	r.there = now.since(before)
}

// clearFaults removes all faults from the lab.
func (q *quickLab) clearFaults(t *testing.T) {
	t.Helper()
	if q.afterBake != nil {
		q.afterBake()
	}
	q.onLine, q.afterBake = nil, nil
	q.request(t, "DELETE", "faults", "")
}

// record bakes without a fault and returns the calls that can be broken.
func (s *scenario) record(t *testing.T) []brokenCall {
	q := s.lab(t, around{})
	before := s.accountBefore(t, q)
	from := len(q.Calls())
	cleans := -1
	q.onLine = func(line string) {
		if line == cleaning {
			cleans = len(q.Calls())
		}
	}
	r := s.bake(t, q)
	calls := q.Calls()[from:]
	q.clearFaults(t)
	r.take(q.account(t), before)
	e := expected{succeeds: s.fails == ""}
	if s.fails != "" {
		e.says = []string{s.fails}
	}
	for _, wrong := range s.check(e, r) {
		t.Errorf("without a fault: %s\n%v\n%s", wrong, r.err, r.printed)
	}
	if s.sweeps {
		return s.brokenCalls(calls, nil)
	}
	if cleans < from {
		t.Fatalf("the bake did not say that it cleans up:\n%s", r.printed)
	}
	return s.brokenCalls(calls[:cleans-from], calls[cleans-from:])
}

// polled reports whether a call is repeated until something is ready: how often it is made varies.
func polled(c brokenCall) bool {
	return isOneOf("DescribeInstances", "GetConsoleOutput")(c) || c.key == "log.gz" ||
		c.action == "GetObject" && c.key == "commitment"
}

// brokenCalls returns the first two calls of each action and the last, and those of the cleaning up.
func (s *scenario) brokenCalls(working, cleaning []labserver.Call) []brokenCall {
	count, seen := map[brokenCall]int{}, map[brokenCall]int{}
	for _, c := range working {
		count[kindOf(c)]++
	}
	var all []brokenCall
	for _, call := range working {
		c := kindOf(call)
		seen[c]++
		n, of := seen[c], count[c]
		// the one that waits for the image
		first := n <= 2 && !polled(c) || n == 1 || n == 3 && c.action == "DescribeImages"
		if first || n == of && !polled(c) && c.action != "DescribeImages" {
			c.nth, c.calls = n, of
			all = append(all, c)
		}
	}
	for _, call := range cleaning {
		if c := kindOf(call); !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return slices.DeleteFunc(all, func(c brokenCall) bool {
		return len(s.only) > 0 &&
			!slices.Contains(s.only, c.action)
	})
}

// kindOf returns a call without its number. Objects that the machine may ask for have their key.
func kindOf(call labserver.Call) brokenCall {
	c := brokenCall{service: call.Service, action: call.Action}
	if call.Action == "GetObject" || call.Action == "PutObject" {
		c.key = path.Base(call.Detail)
	}
	return c
}

// matrix counts the outcomes of all cases.
type matrix struct {
	faults []fault

	mu      sync.Mutex
	results map[string]int
}

func (m *matrix) product(all []scenario, called [][]brokenCall) []faultCase {
	var cases []faultCase
	for i := range all {
		for _, c := range called[i] {
			for _, f := range m.faults {
				if all[i].applies(f, c) {
					cases = append(cases, faultCase{&all[i], f, c})
				}
			}
		}
	}
	// Those that take minutes first, so that nothing waits for them at the end.
	slices.SortStableFunc(cases, func(x, y faultCase) int { return y.minutes() - x.minutes() })
	return cases
}

// minutes is 1 for a case that waits for a time limit of the builder.
func (c faultCase) minutes() int {
	forever := c.fault.kind == permanent && !c.fault.all
	if c.fault.slow || forever && (c.call.action == "GetObject" && c.call.key != "fs.tgz") || forever &&
		(c.call.nth == 0 || reading(c.call.action) || c.call.action == "RunInstances") {
		return 1
	}
	return 0
}

// sample returns a part of the cases that has every action, in the bake and in its cleaning up, and every fault.
func sample(cases []faultCase) []faultCase {
	byCall := map[string][]faultCase{}
	var calls []string
	faults := map[string]bool{}
	var part []faultCase
	for _, c := range slices.Backward(cases) { // those that take minutes last
		call := c.call
		call.nth, call.calls = min(call.nth, 1), 1
		if _, known := byCall[call.String()]; !known {
			calls = append(calls, call.String())
		}
		byCall[call.String()] = append(byCall[call.String()], c)
		if !faults[c.fault.name] {
			faults[c.fault.name] = true
			part = append(part, c)
		}
	}
	// Other faults for each action in turn.
	for i, call := range calls {
		fast := slices.DeleteFunc(byCall[call], func(c faultCase) bool { return c.minutes() > 0 })
		for n := range min(2, len(fast)) {
			part = append(part, fast[(i*7+n*len(fast)/2)%len(fast)])
		}
	}
	return part
}

func (m *matrix) count(t *testing.T, c faultCase, wrong []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := "wrong"
	if e := c.scenario.expect(c.fault, c.call); len(wrong) == 0 && e.succeeds {
		key = "succeeded as expected"
	} else if len(wrong) == 0 {
		key = "failed as expected"
	}
	m.results[key+" "+c.fault.name]++
	m.results[key]++
	for _, w := range wrong {
		if strings.HasPrefix(w, "left behind") {
			m.results["leftovers"]++
		}
	}
}

// table shows the outcomes by fault.
func (m *matrix) table(all []scenario, cases []faultCase) string {
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
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t\n", f.name, n, m.results["succeeded as expected "+f.name],
			m.results["failed as expected "+f.name], m.results["wrong "+f.name])
	}
	_ = w.Flush()
	fmt.Fprintf(&s, "%d scenarios, %d actions, %d faults, %d cases: %d succeeded and %d failed as expected, %d "+
		"wrong, %d with leftovers\n",
		len(all), len(actions), len(m.faults), len(cases), m.results["succeeded as expected"],
		m.results["failed as expected"],
		m.results["wrong"], m.results["leftovers"])
	return s.String()
}
