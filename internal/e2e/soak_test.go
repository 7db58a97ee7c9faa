// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

var (
	soakSeed = flag.Uint64("soak-seed", 1, "the seed of TestSoak's faults")
	soakTime = flag.Duration("soak-time", time.Hour, "how long TestSoak bakes with -full")
)

// TestSoak bakes in a loop with random faults and interrupts. What this process and the computer hold at the end must
// not be more than after the first bakes. Half of the time goes to bakes by the builder in this process, on machines
// that are goroutines, and half to bakes by packer on real machines.
func TestSoak(t *testing.T) {
	long := 15 * time.Second
	if *full {
		long = *soakTime / time.Duration(2*shard.of)
	}
	seed := *soakSeed + uint64(shard.number) - 1 // each shard bakes for a part of the time, with faults of its own
	t.Logf("the seed is %d", seed)
	t.Run("builder", func(t *testing.T) { soakBuilder(t, long, seed) })
	if *full {
		t.Run("machines", func(t *testing.T) { soakMachines(t, long, seed) })
	}
}

// resourceCounts is how many of each thing a process or computer has.
type resourceCounts map[string]int64

// soakFaults are the faults. Most end when the call is made again.
var (
	soakFaults = []string{"throttle", "500", "503", "reset", "slow=1s", "500:after", "reset:after", "TestSaysSo",
		"TestSaysSo:after"}
	soakActions = []string{
		"GetCallerIdentity", "DescribeImages", "DescribeInstanceTypes", "DescribeVpcs", "CreateSecurityGroup",
		"RunInstances",
		"DescribeInstances", "GetConsoleOutput", "CreateImage", "HeadBucket", "PutObject", "GetObject", "DeleteObject",
		"TerminateInstances", "DeleteSecurityGroup", "DeregisterImage", "DescribeSnapshots", "DeleteSnapshot", "*",
	}
)

// randomFault returns a fault. Calls of the cleaning up are not refused: what they cannot remove stays.
func randomFault(r *rand.Rand) string {
	for {
		action, code := soakActions[r.IntN(len(soakActions))], soakFaults[r.IntN(len(soakFaults))]
		cleans := slices.ContainsFunc([]string{"Delete", "Terminate", "Deregister", "Describe", "*"},
			func(p string) bool { return strings.HasPrefix(action, p) })
		if !strings.HasPrefix(code, "TestSaysSo") || !cleans {
			return fmt.Sprintf("%s=%s:nth=%d", action, code, 1+r.IntN(4))
		}
	}
}

// soakBuilder bakes in this process for some time.
func soakBuilder(t *testing.T, long time.Duration, seed uint64) {
	t.Setenv("TMPDIR", t.TempDir())
	r := rand.New(rand.NewPCG(seed, 1)) // the same for the same seed
	const warm = 2                      // rounds before the first count, for what is made only once
	var before, after resourceCounts
	ended := map[string]int{}
	rounds := 0
	for end := time.Now().Add(long); time.Now().Before(end) || rounds <= warm; rounds++ {
		if ok := t.Run(fmt.Sprintf("round %d", rounds), func(t *testing.T) { soakRound(t, r, ended) }); !ok {
			return
		}
		if after = waitSettled(before); rounds == warm {
			before = after
		}
	}
	t.Logf("%d rounds, bakes that ended: %v\n%s", rounds, ended, countsTable("this process", before, after))
	// The SDK's filter keeps every secret that was ever hidden, and testing every subtest: some KiB of each round.
	for what, more := range map[string]int64{"goroutines": 3, "descriptors": 3, "files in TMPDIR": 0,
		"heap KiB": 8<<10 + 16*int64(rounds)} {
		if after[what] > before[what]+more {
			t.Errorf("%s: %d after the first rounds, %d at the end", what, before[what], after[what])
		}
	}
}

// soakRound is some bakes at once on a lab of their own.
func soakRound(t *testing.T, r *rand.Rand, ended map[string]int) {
	const bakes = 8
	q := startBakerLab(t, labtest.Baker{Steps: []string{"a", "b"}, StepDuration: time.Second / 2, Lines: 20})
	var mu sync.Mutex
	var all sync.WaitGroup
	var told strings.Builder // by bakes that did not succeed
	succeeded := 0
	for i := range bakes {
		fault := randomFault(r)
		q.addFault(t, fault)
		mu.Lock()
		fmt.Fprintln(&told, fault)
		mu.Unlock()
		cancelled := time.Duration(0)
		if r.IntN(5) == 0 {
			cancelled = time.Duration(r.Int64N(int64(4 * time.Second)))
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			if cancelled > 0 {
				time.AfterFunc(cancelled, cancel)
			}
			settings := map[string]any{"ami_name": fmt.Sprintf("soak-%d", i), "verdict": "report",
				"instance_timeout": "2m", "max_retries": 6}
			artifact, printed, err := q.bakeUntil(ctx, t, settings)
			mu.Lock()
			defer mu.Unlock()
			how := "well"
			switch {
			case err != nil && cancelled > 0:
				how = "interrupted"
			case err != nil:
				how = "failed"
			default:
				succeeded++
			}
			fmt.Fprintf(&told, "%s: %v\n%s\n", how, err, printed)
			ended[how]++
			if (artifact == nil) != (err != nil) {
				t.Errorf("the artifact is %v and the error %v\n%s", artifact, err, printed)
			}
		})
	}
	all.Wait()
	images := 0
	for _, left := range q.Left() {
		switch kind, _, _ := strings.Cut(left, " "); kind {
		case "image":
			images++
		case "snapshot":
		default:
			t.Errorf("left behind: %s", left)
		}
	}
	if images != succeeded {
		t.Errorf("there are %d images of %d bakes that succeeded", images, succeeded)
	}
	if t.Failed() {
		t.Log(told.String())
	}
}

// waitSettled returns what this process holds, once it is no more than before or after a while. Connections and timers
// end some time after their last use.
func waitSettled(than resourceCounts) resourceCounts {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		runtime.GC()
		runtime.GC() // the first one only runs finalizers
		h := processCounts()
		if than == nil || time.Now().After(end) || h["goroutines"] <= than["goroutines"] &&
			h["descriptors"] <= than["descriptors"] {
			return h
		}
	}
}

func processCounts() resourceCounts {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return resourceCounts{
		"goroutines": int64(runtime.NumGoroutine()), "descriptors": countFiles("/proc/self/fd"),
		"heap KiB":     int64(m.HeapAlloc >> 10),
		"resident KiB": kilobytes("/proc/self/status", "VmRSS:") >> 10, "files in TMPDIR": countTree(os.TempDir()),
	}
}

func countFiles(dir string) int64 {
	files, _ := os.ReadDir(dir)
	return int64(len(files))
}

// countTree counts the files and directories below dir.
func countTree(dir string) int64 {
	n := int64(-1) // dir itself
	_ = filepath.WalkDir(dir, func(string, os.DirEntry, error) error { n++; return nil })
	return n
}

// countsTable shows counts side by side.
func countsTable(whose string, before, after resourceCounts) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s\tat first\tat the end\t\n", whose)
	for _, what := range slices.Sorted(maps.Keys(before)) {
		fmt.Fprintf(w, "%s\t%d\t%d\t\n", what, before[what], after[what])
	}
	_ = w.Flush()
	return text.String()
}
