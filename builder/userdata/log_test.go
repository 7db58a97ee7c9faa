// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

var testKey = guest.Key{7}

// lines are those of the steps, or cloud-init, from a number on.
func lines(from guest.Source, first int, text ...string) guest.Lines {
	return guest.Lines{Source: from, Since: first, First: first, Text: text}
}

// prints lets the machine print lines on its console.
func (c *cloud) prints(at time.Duration, l guest.Lines) {
	for _, piece := range guest.FormatLines(testBake, testKey, l) {
		c.console = append(c.console, event{at, piece})
	}
}

// puts lets the machine upload its log, as it is at a moment.
func (o *oven) puts(at time.Duration, all ...guest.Lines) {
	log := zipped(o.T, guest.FormatLog(testBake, all...))
	time.AfterFunc(at, func() {
		if _, err := o.cloud.s3mem.PutObject(o.ctx, bucket, o.logs()+logKey, nil, strings.NewReader(log), int64(len(log))); err != nil {
			o.Error(err)
		}
	})
}

// logs is where below the bucket the log goes.
func (o *oven) logs() string {
	if o.config.Staging.KeepLog {
		return "some/prefix/logs/" + testBake + "/"
	}
	return "some/prefix/" + testFolder + "/"
}

// printedIn is what the UI says the machine has printed, without the times.
func printedIn(said string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^\[ *\d+ s\] ((?:\d+|cloud-init)\| .*)$`).FindAllStringSubmatch(said, -1) {
		all = append(all, m[1])
	}
	return all
}

func report(seq int, words string) string { return strings.TrimSpace(reportLine(testBake, seq, words)) }

func TestLinesAreToldOnceInOrderAndSoon(t *testing.T) {
	const total = 60
	o, _, err := bakes(t, func(o *oven) {
		o.cloud.reports("begin 2", "start 1 a")
		o.cloud.stops = 100 * time.Second
		at := func(n int) time.Duration { return time.Duration(n)*time.Second + 5*time.Second }
		o.cloud.prints(time.Second, lines(guest.FromCloudInit, 1, "ci-info: |eth0|", "Get:1 nginx"))
		for n := 1; n <= total; n++ {
			l := lines(guest.FromSteps, n, fmt.Sprintf("line %d", n))
			if n%7 != 0 { // the kernel printed into the others
				o.cloud.prints(at(n), l)
			}
			o.cloud.prints(at(n+3), l) // once more
		}
		// Out of order is what the console is not, but the machine began anew after a reboot.
		o.cloud.prints(at(total+1), lines(guest.FromSteps, total-2, "line 58", "line 59", "line 60"))
		o.cloud.console = append(o.cloud.console, event{at(total + 8), reportLine(testBake, 9, "verdict ok 0 bake")})
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"cloud-init| Get:1 nginx"}
	for n := 1; n <= total; n++ {
		want = append(want, fmt.Sprintf("0| line %d", n))
	}
	if diff := cmp.Diff(want, printedIn(o.ui.String())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, m := range regexp.MustCompile(`\[ *(\d+) s\] 0\| line (\d+)`).FindAllStringSubmatch(o.ui.String(), -1) {
		var told, n int
		if _, err := fmt.Sscan(m[1], &told); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(m[2], &n); err != nil {
			t.Fatal(err)
		}
		if late := told - (n + 5); late > 10 {
			t.Errorf("line %d was told %d s after it was printed", n, late)
		}
	}
}

func TestLinesThatAreLostAreCounted(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.cloud.reports("begin 1")
		o.cloud.stops = 60 * time.Second
		o.cloud.prints(5*time.Second, lines(guest.FromSteps, 1, "one"))
		o.cloud.prints(6*time.Second, lines(guest.FromSteps, 12, "twelve")) // those before are damaged for good
		o.cloud.prints(30*time.Second, guest.Lines{Source: guest.FromSteps, Since: 13, First: 113, Text: []string{"many"}})
		o.cloud.prints(50*time.Second, lines(guest.FromSteps, 120, "the end"))
		o.cloud.console = append(o.cloud.console, event{51 * time.Second, reportLine(testBake, 9, "verdict ok 0 bake")})
	})
	if err != nil {
		t.Fatal(err)
	}
	const why = " lines not shown: the console takes no more, staging would]"
	want := []string{"0| one", "0| [10" + why, "0| twelve", "0| [100" + why, "0| many", "0| [6" + why, "0| the end"}
	if diff := cmp.Diff(want, printedIn(o.ui.String())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestStreamsLoseAndRepeatNothing gives lines in pieces of any size, in any order within a few seconds, and more than once.
func TestStreamsLoseAndRepeatNothing(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		var s stream
		var got []string
		now := time.Unix(0, 0)
		const total = 200
		type arrival struct {
			at time.Time
			l  guest.Lines
		}
		var all []arrival
		for n := 1; n <= total; {
			size := min(1+random.IntN(20), total-n+1)
			l := guest.Lines{Since: n, First: n}
			for i := range size {
				l.Text = append(l.Text, fmt.Sprint(n+i))
			}
			if random.IntN(4) == 0 && n > 10 { // a window that begins earlier
				l.Since, l.First = 1, n-5
				l.Text = append([]string{fmt.Sprint(n - 5), fmt.Sprint(n - 4), fmt.Sprint(n - 3), fmt.Sprint(n - 2), fmt.Sprint(n - 1)}, l.Text...)
				l.Since = l.First
			}
			for range 1 + random.IntN(2) {
				all = append(all, arrival{now.Add(time.Duration(random.IntN(5000)) * time.Millisecond), l})
			}
			n += size
			now = now.Add(time.Duration(random.IntN(1000)) * time.Millisecond)
		}
		slices.SortFunc(all, func(a, b arrival) int { return a.at.Compare(b.at) })
		for _, a := range all {
			s.add(a.l)
			for _, line := range s.take(a.at, false) {
				got = append(got, fmt.Sprint(line.text, line.missing))
			}
		}
		if len(got) != total {
			t.Fatalf("seed %d: %d lines came of %d: %v", seed, len(got), total, got)
		}
		for i, text := range got {
			if want := fmt.Sprint(i+1, 0); text != fmt.Sprint(fmt.Sprint(i+1), 0) {
				t.Fatalf("seed %d: line %d is %q, want %q", seed, i+1, text, want)
			}
		}
	}
}

func TestLinesOfTheStagedLogComeBetweenTheirReports(t *testing.T) {
	file := filepath.Join(t.TempDir(), "machine.log")
	o, _, err := bakes(t, func(o *oven) {
		o.stage()
		o.config.LogFile = file
		o.config.SensitiveValues = []string{"first-of-a-secret\nlines-of-a-secret"}
		hide(o.config.secrets()...)
		o.cloud.console = nil // it is not a Nitro machine
		o.cloud.stops = 45 * time.Second
		begin := []string{report(1, "begin 1"), report(2, "start 1 60_a.cfg"), "one"}
		more := append(slices.Clone(begin), "\x1b[1mfirst-of\x1b[0m-a-secret lines-of-a-secret", report(3, "end 1 0 60_a.cfg"))
		o.puts(5*time.Second, lines(guest.FromCloudInit, 1, "early"))
		o.puts(8*time.Second, lines(guest.FromCloudInit, 1, "early"), lines(guest.FromSteps, 1, begin...))
		window := guest.Lines{Source: guest.FromSteps, Since: 1, First: 3, Text: more[2:]}
		o.puts(20*time.Second, lines(guest.FromCloudInit, 1, "early"), window)
		o.puts(40*time.Second, lines(guest.FromCloudInit, 1, "early"), lines(guest.FromSteps, 1, append(more, "last", report(4, "verdict ok 0 bake"))...))
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for text := range strings.Lines(o.ui.String()) {
		if _, rest, ok := strings.Cut(strings.TrimSpace(text), " s] "); ok {
			got = append(got, rest)
		}
	}
	want := []string{
		"cloud-init| early", "the machine is up, with 1 steps to do", "1/1 60_a.cfg", "1| one", "1| <sensitive> <sensitive>", "1| last", "verdict: success",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s\n%s", diff, o.ui)
	}
	saved, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"the log that it uploaded\n", "\nearly\n", "\n<sensitive> <sensitive>\n", "verdict ok"} {
		if !strings.Contains(string(saved), want) {
			t.Errorf("%q is not in log_file:\n%s", want, saved)
		}
	}
	if left := o.cloud.objects(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestLogIsSavedBesideTheOutputOfABakeThatFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "hello-1.log")
	if err := os.WriteFile(path, []byte("of an earlier bake"), 0o644); err != nil {
		t.Fatal(err)
	}
	o, _, err := bakes(t, func(o *oven) {
		o.config.LogFile, o.config.OutputFile = "", filepath.Join(dir, "out.env")
		o.cloud.reports("begin 1", "start 1 60_a.cfg")
		for n := range 100 {
			o.cloud.prints(10*time.Second, lines(guest.FromSteps, n+1, fmt.Sprintf("%s line %d", strings.Repeat("=", 10), n+1)))
		}
		o.cloud.prints(11*time.Second, lines(guest.FromEnd, 1, "the very", "\x1b[31mend"))
		o.cloud.console = append(o.cloud.console, event{12 * time.Second, reportLine(testBake, 9, "verdict fail 3 60_a.cfg")})
	})
	if err == nil || !strings.HasSuffix(err.Error(), "60_a.cfg failed with exit status 3; its last lines were:\n    the very\n    end") {
		t.Errorf("the error is %v", err)
	}
	saved, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v\n%s", err, o.ui)
	}
	for _, want := range []string{"what it told while it baked; 0 lines are missing\n", "staging { }", "0| ========== line 1\n", "line 100\n", "verdict: 60_a.cfg"} {
		if !strings.Contains(string(saved), want) || strings.Contains(string(saved), "earlier") {
			t.Errorf("%q is not in log_file:\n%s", want, saved)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %s, %v", info.Mode(), err)
	}
	if !strings.Contains(o.ui.String(), "The log of the machine is in "+path) {
		t.Errorf("nobody says where it is:\n%s", o.ui)
	}
}

func TestFailureShowsTheLastLinesThatCame(t *testing.T) {
	_, _, err := bakes(t, func(o *oven) {
		o.cloud.reports("begin 2")
		text := []string{report(2, "start 1 a"), "of the step before", report(3, "end 1 0 a"), report(4, "start 2 b")}
		for n := range 50 {
			text = append(text, fmt.Sprintf("line %d", n+1))
		}
		o.cloud.prints(5*time.Second, lines(guest.FromSteps, 1, text...))
		o.cloud.console = append(o.cloud.console, event{9 * time.Second, reportLine(testBake, 9, "verdict fail 3 b")})
	})
	if err == nil || !strings.Contains(err.Error(), "were:\n    line 11\n") || !strings.HasSuffix(err.Error(), "line 50") {
		t.Errorf("the error is %v", err)
	}
}

func TestLogIsKeptWhereTheTemplateAsks(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.stage()
		o.config.Staging.KeepLog = true
		o.cloud.console = nil
		o.puts(15*time.Second, lines(guest.FromSteps, 1, report(1, "verdict ok 0 bake")))
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"some/prefix/logs/" + testBake + "/log.gz"}, o.cloud.objects()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestUserDataWithoutRoomTellsNoLines(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.config.UserData = ""
		o.config.ImageSource = imageSource(o.T, 6500)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(o.ui.String(), "no room left") || bytes.Contains(mustDecompress(t, o.cloud.userData()), []byte("log_stream.py <<")) {
		t.Errorf("the bake said:\n%s", o.ui)
	}
}

func TestLogFileThatCannotBeWrittenFailsNoBake(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) { o.config.LogFile = filepath.Join(t.TempDir(), "no", "directory", "x") })
	if err != nil || !strings.Contains(o.ui.String(), "could not be written to log_file") {
		t.Errorf("the error is %v, and the bake said:\n%s", err, o.ui)
	}
}

func TestNoiseOfEveryBootIsNotTold(t *testing.T) {
	var n bootNoise
	var left []string
	for _, line := range []string{
		"Cloud-init v. 22.4.2 running", "ci-info: +----+", "Generating public/private rsa key pair.", "|  o .  |", "+----[SHA256]-----+", "Get:1 nginx",
	} {
		if !n.is(line) {
			left = append(left, line)
		}
	}
	if diff := cmp.Diff([]string{"Cloud-init v. 22.4.2 running", "Get:1 nginx"}, left); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func mustDecompress(t *testing.T, userData []byte) []byte {
	t.Helper()
	document, err := guest.Decompress(userData)
	if err != nil {
		t.Fatal(err)
	}
	return document
}
