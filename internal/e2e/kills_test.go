// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

var (
	killSeed = flag.Uint64("kill-seed", 0, "what TestKills draws its kills from, as a run before has printed it; 0: "+
		"with -full, another each time")
	killOnly = flag.Int("kill-only", -1, "the one kill of that seed to repeat")
)

const (
	killsInCI = 12
	killsFull = 200
)

// killCase is one kill. Everything in it comes from the seed.
type killCase struct {
	number int
	kind   kill
	bake   variant
	// The time of the kill: with an action, after its call has taken effect and before the lab answers; otherwise some
	// time after a number of calls.
	action string
	calls  int
	delay  time.Duration
	again  time.Duration // between a signal and the next, where there are two
	around around        // what else is on the console and in the bucket
	baker  labtest.Baker
}

func (s *killCase) String() string {
	when := fmt.Sprintf("after %d calls", s.calls)
	if s.action != "" {
		when = "within " + s.action
	}
	return fmt.Sprintf("%03d %s, %s, %s", s.number, s.kind.name, s.bake.name, when)
}

// randomKills returns the kills of a seed. All kinds and all bakes are equally frequent.
func randomKills(seed uint64, n int) []killCase {
	r := rand.New(rand.NewPCG(seed, 0))
	var all []killCase
	for i := range n {
		s := killCase{number: i, kind: kills[i%len(kills)], bake: variants[r.IntN(len(variants))], calls: r.IntN(40)}
		s.delay = time.Duration(r.IntN(300)) * time.Millisecond
		if s.calls == 0 {
			s.delay = time.Duration(r.IntN(3000)) * time.Millisecond // while Packer and the plugin start
		}
		if r.IntN(2) == 0 {
			s.action = s.bake.actions[r.IntN(len(s.bake.actions))]
		}
		s.again = time.Duration(r.IntN(1500)) * time.Millisecond
		s.baker = labtest.Baker{Steps: []string{"one", "two"},
			StepDuration: time.Duration(r.IntN(500)) * time.Millisecond,
			Speedup:      100}
		switch r.IntN(8) {
		case 0:
			s.baker.Fail = 1 + r.IntN(2)
		case 1:
			s.baker.Hang = 1 + r.IntN(2)
		case 2:
			s.baker.NoVerdict = n > killsInCI // which takes two minutes
		}
		s.around = allAround()[i%len(allAround())]
		all = append(all, s)
	}
	return all
}

// TestKills kills bakes at random times, and checks that nothing is left but what the sweep removes, and that each
// image is of a machine that reported success.
func TestKills(t *testing.T) {
	t.Parallel()
	n, seed := killsInCI, *killSeed
	if *full {
		n = killsFull
	}
	switch {
	case seed != 0:
	case *full:
		seed = uint64(time.Now().UnixNano()) % 1e9
	default:
		seed = 1 // the same kills in every run
	}
	began := time.Now()
	var table outcomes
	t.Run("each", func(t *testing.T) {
		for _, s := range part(randomKills(seed, n)) {
			if *killOnly >= 0 && s.number != *killOnly {
				continue
			}
			t.Run(s.String(), func(t *testing.T) {
				t.Parallel()
				table.add(s.kind.name, s.run(t))
			})
		}
	})
	t.Logf("%d kills in %s; to repeat them: -kill-seed=%d, and one of them: -kill-only=N\n%s", n,
		time.Since(began).Round(time.Second), seed, &table)
}

// run kills a bake, checks what is left and returns the outcome.
func (s *killCase) run(t *testing.T) string {
	q := startQuickLabOptions(t, labserver.Options{Runner: labtest.Runner{Guest: s.around.guest(s.baker.Guest)}})
	old := q.before(t, s.bake)
	if s.action != "" {
		q.addFault(t, s.action+"=hang=3s:after:nth=1")
	}
	defer s.around.overwrite(t, q)()
	b := q.startPacker(t, q.settings(s.bake.settings))
	b.await(t, q, s)
	s.kind.send(b, s.again)
	b.awaitEnd(t)
	defer func() {
		if t.Failed() {
			t.Logf("packer said:\n%s", b.output())
		}
	}()
	if s.kind.hard {
		q.checkTemporaryFiles(t, b)
		return q.afterKill(t, s, old)
	}
	if left := b.temporaryFiles(); len(left) > 0 {
		t.Errorf("left behind in TMPDIR: %q", left)
	}
	return q.afterInterrupt(t, s, old)
}

// checkTemporaryFiles checks that the next run of the plugin removes what a killed one has left in TMPDIR.
func (q *quickLab) checkTemporaryFiles(t *testing.T, b *packer) {
	t.Helper()
	sweep := q.sweeping()
	delete(sweep, "profile") // packer is given credentials in its environment, and no file of profiles
	next := q.startPackerIn(t, b.tmp, sweep)
	next.awaitEnd(t)
	if left := next.temporaryFiles(); len(left) > 0 {
		t.Errorf("left behind in TMPDIR: %q\n%s", left, next.output())
	}
}

// afterInterrupt checks that the bake has cleaned up.
func (q *quickLab) afterInterrupt(t *testing.T, s *killCase, old []string) string {
	t.Helper()
	if left := q.besidesImages(old); len(left) > 0 {
		t.Errorf("left behind, without any sweep: %q", left)
	}
	images := q.check(t, s, old)
	for _, i := range images {
		if i.Tags["bakery:expires"] != "" && !s.bake.replaces {
			t.Errorf("%s is there and not complete", i)
		}
	}
	if len(images) > 0 {
		return "image complete"
	}
	return "nothing left"
}

// afterKill checks that machines end by themselves, and that a sweep removes everything after its expiry and nothing
// before.
func (q *quickLab) afterKill(t *testing.T, s *killCase, old []string) string {
	t.Helper()
	q.awaitMachines(t)
	q.waitUntilImagesAreMade(t)
	before := q.Left()
	sweep := q.sweeping(s.bake.regions...)
	if _, printed, err := q.bakeAs(t, sweep); err != nil || strings.Contains(printed, "Swept ") {
		t.Errorf("a sweep before anything has expired: %v\n%s", err, printed)
	}
	if after := q.Left(); !slices.Equal(before, after) {
		t.Errorf("before the sweep there was %q, after it %q", before, after)
	}
	sweep["profile"] = q.profileFor(t, q.clockAhead(t, 48*time.Hour))
	_, printed, err := q.bakeAs(t, sweep)
	if err != nil {
		t.Errorf("the sweep: %v\n%s", err, printed)
	}
	q.removeUnproven(t, printed)
	if left := q.besidesImages(old); len(left) > 0 {
		t.Errorf("left behind by the sweep: %q", left)
	}
	images := q.check(t, s, old)
	switch {
	case len(images) > 0 && len(before) == len(q.Left()):
		return "image, nothing else"
	case len(images) > 0:
		return "image, rest swept"
	case len(before) == 0:
		return "nothing left"
	}
	return "all swept"
}

// removeUnproven runs the commands that a sweep has printed for what Packer had made and not tagged when it was killed.
func (q *quickLab) removeUnproven(t *testing.T, printed string) {
	t.Helper()
	for line := range strings.Lines(printed) {
		_, rest, _ := strings.Cut(line, " has the tags of bake ")
		if _, command, ok := strings.Cut(strings.TrimSpace(rest), ": "); ok {
			q.shell(t, "for i in 1 2 3 4 5 6 7 8 9 10; do "+command+" && break; sleep 1; done")
		}
	}
}

// outcomes counts outcomes by the kind of kill.
type outcomes struct {
	mu    sync.Mutex
	count map[string]map[string]int
}

func (o *outcomes) add(kind, outcome string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count == nil {
		o.count = map[string]map[string]int{}
	}
	if o.count[kind] == nil {
		o.count[kind] = map[string]int{}
	}
	o.count[kind][outcome]++
}

func (o *outcomes) String() string {
	columns := []string{"nothing left", "image complete", "all swept", "image, rest swept", "image, nothing else"}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "kill\tcount\t%s\n", strings.Join(columns, "\t"))
	for _, k := range kills {
		sum, cells := 0, ""
		for _, c := range columns {
			sum += o.count[k.name][c]
			cells += fmt.Sprintf("\t%d", o.count[k.name][c])
		}
		fmt.Fprintf(w, "%s\t%d%s\n", k.name, sum, cells)
	}
	_ = w.Flush()
	return text.String()
}
