// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/limit"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// load is the cost of many bakes in one packer build.
type load struct {
	bakes   int
	total   time.Duration // packer's, from its start to its end
	slowest time.Duration // of the bakes, as packer says
	calls   map[string]tally
	memory  footprint
}

// tally counts the calls of an action.
type tally struct{ answered, throttled int }

// loadSize is the size of a load test, and the delays of its lab. EC2's delays are five times as long.
type loadSize struct {
	bakes  []int
	work   time.Duration
	delays cloud.Delays
}

var (
	smallLoad = loadSize{[]int{1, 10}, time.Second,
		cloud.Delays{Pending: time.Second, Stopping: 2 * time.Second, Terminating: 2 * time.Second,
			Image: 4 * time.Second}}
	fullLoad = loadSize{[]int{1, 10, 50}, 10 * time.Second,
		cloud.Delays{Pending: 3 * time.Second, Stopping: 5 * time.Second, Terminating: 5 * time.Second,
			Image: 20 * time.Second}}
)

// TestLoad runs many bakes in one packer build on an account with EC2's request limits. All have to succeed, in the
// time of one bake and of the launches, which EC2 limits, and with the calls of one bake each.
func TestLoad(t *testing.T) {
	size := smallLoad
	if *full {
		size = fullLoad
	}
	var all []load
	for _, n := range size.bakes {
		all = append(all, bakeMany(t, size, n))
	}
	t.Logf("on %s, with %d processors\n%s", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), loadTable(all))
	for _, l := range all[1:] {
		l.check(t, all[0])
	}
}

// check compares many bakes with a bake alone.
func (l load) check(t *testing.T, alone load) {
	t.Helper()
	const most = 80 << 20 // bytes a bake may need
	if by := max(l.memory.largest, l.memory.pss/int64(l.bakes)); by > most {
		t.Errorf("%d bakes: one needs %s MiB", l.bakes, mib(by))
	}
	// EC2 runs five machines at once and then two a second.
	launches := time.Duration(max(0, l.bakes-5)) * time.Second / 2
	share := 3.0 // what it takes to start so many processes while other tests are running
	if *full {
		share = 1.2
	}
	if limit := time.Duration(share*float64(alone.total)) + launches; l.total > limit {
		t.Errorf("%d bakes took %s; it is to be %s at most", l.bakes, l.total, limit)
	}
	for action, n := range l.calls {
		// The number of polls depends on how long things take.
		if mine, its := float64(n.answered+n.throttled)/float64(l.bakes),
			float64(alone.calls[action].answered); mine > 1.5*its+3*share-3 {
			t.Errorf("%s: %.1f calls for each of %d bakes, throttled ones included, and %.0f for one alone", action,
				mine, l.bakes, its)
		}
	}
}

// bakeMany bakes n images at once on a lab of their own.
func bakeMany(t *testing.T, size loadSize, n int) load {
	t.Helper()
	lab := labtest.Start(t, labserver.Options{
		Delays: size.delays, Limits: limit.EC2(),
		Runner: labtest.Runner{Guest: labtest.Baker{StepDuration: size.work, Lines: 20}.Guest},
	})
	q := &quickLab{Lab: lab}
	dir := write(t, map[string]string{"many.pkr.hcl": manyBakes(q, n)})
	argv := []string{packertest.Built(t).Packer, "build", "many.pkr.hcl"}
	began := time.Now()
	r, memory := runMeasured(t, 500*time.Millisecond, dir, q.client().environ(t), argv)
	l := load{bakes: n, total: time.Since(began), slowest: slowestBuild(t, r.Output), calls: map[string]tally{},
		memory: memory}
	if r.Code != 0 || strings.Count(r.Output, "finished after") != n {
		t.Fatalf("packer build of %d: exit status %d\n%s", n, r.Code, r.Output)
	}
	if left := q.Left(); len(left) != 2*n { // an image and a snapshot each
		t.Errorf("there are %d things of %d bakes: %v", len(left), n, left)
	}
	for _, c := range q.Calls() {
		one := l.calls[c.Action]
		if slices.Contains([]string{"RequestLimitExceeded", "SlowDown", "Throttling"}, c.Code) {
			one.throttled++
		} else {
			one.answered++
		}
		l.calls[c.Action] = one
	}
	return l
}

// manyBakes returns a template of n builds. It has no provisioners: packer would start two processes for each.
func manyBakes(q *quickLab, n int) string {
	var text strings.Builder
	fmt.Fprintf(&text, `source "bakery-userdata" "load" {
  source_ami = %q
  user_data  = "#!/bin/sh\n# %s\n"
  staging {
    url = "s3://%s/load"
  }
}

build {
`, q.Value("BAKERY_LAB_AMI"), strings.Repeat("x", 100), q.Value("BAKERY_LAB_BUCKET"))
	for i := range n {
		fmt.Fprintf(&text, `  source "bakery-userdata.load" {
    name     = "b%02d"
    ami_name = "load-%02d"
  }
`, i, i)
	}
	return text.String() + "}\n"
}

var finishedAfter = regexp.MustCompile(`finished after (.*)\.`)

// slowestBuild returns the longest time of a build that packer prints.
func slowestBuild(t *testing.T, output string) time.Duration {
	t.Helper()
	var most time.Duration
	for _, m := range finishedAfter.FindAllStringSubmatch(output, -1) {
		text := regexp.MustCompile(` (milli|micro)?(minute|second)s?`).ReplaceAllStringFunc(m[1],
			func(unit string) string {
				switch {
				case strings.HasPrefix(unit, " milli"):
					return "ms"
				case strings.HasPrefix(unit, " micro"):
					return "us"
				}
				return unit[1:2]
			})
		d, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatalf("packer says that a build has taken %q: %v", m[1], err)
		}
		most = max(most, d)
	}
	return most
}

// loadTable shows runs side by side, by bake.
func loadTable(all []load) string {
	actions := map[string]bool{}
	for _, l := range all {
		for a := range l.calls {
			actions[a] = true
		}
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, cell func(load) string) {
		fmt.Fprint(w, name, "\t")
		for _, l := range all {
			fmt.Fprint(w, cell(l), "\t")
		}
		fmt.Fprintln(w)
	}
	row("bakes at once", func(l load) string { return fmt.Sprint(l.bakes) })
	for _, a := range slices.Sorted(maps.Keys(actions)) {
		row(a, func(l load) string {
			per := func(n int) string { return fmt.Sprintf("%.1f", float64(n)/float64(l.bakes)) }
			if n := l.calls[a].throttled; n > 0 {
				return per(l.calls[a].answered) + " + " + per(n) + " throttled"
			}
			return per(l.calls[a].answered)
		})
	}
	row("seconds, all", func(l load) string { return fmt.Sprintf("%.1f", l.total.Seconds()) })
	row("seconds, the slowest", func(l load) string { return fmt.Sprintf("%.1f", l.slowest.Seconds()) })
	row("MiB by bake, shared pages divided (PSS)", func(l load) string { return mib(l.memory.pss / int64(l.bakes)) })
	row("MiB, the largest process (VmHWM)", func(l load) string { return mib(l.memory.largest) })
	row("MiB of packer (PSS)", func(l load) string { return mib(l.memory.packer) })
	_ = w.Flush()
	return text.String()
}

func mib(bytes int64) string { return fmt.Sprintf("%.0f", float64(bytes)/(1<<20)) }
