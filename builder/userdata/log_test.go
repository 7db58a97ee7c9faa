// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

// lines returns lines of the steps or of cloud-init. The first has a number; those before it are not repeated.
func lines(from guest.Source, first int, text ...string) guest.Lines {
	return guest.Lines{Source: from, Since: first, First: first, Text: text}
}

// shownLines returns the lines of the machine in what the user is told, without their times.
func shownLines(said string) []string {
	var all []string
	line := regexp.MustCompile(`(?m)^\[ *\d+ s\] ((?:\d+|cloud-init)\| .*)$`)
	for _, m := range line.FindAllStringSubmatch(said, -1) {
		all = append(all, m[1])
	}
	return all
}

// mark is a line of the log that says where a report was made.
func mark(seq int, words string) string { return guest.FormatMark(seq, words) }

func TestLinesAreShownOnceInOrderWithinSeconds(t *testing.T) {
	const total = 60
	b, _, err := runBuild(t, func(b *testBuild) {
		b.account.SetReports("begin 2", "start 1 a")
		b.account.StopsAfter = 100 * time.Second
		at := func(n int) time.Duration { return time.Duration(n)*time.Second + 5*time.Second }
		b.printLines(time.Second, lines(guest.FromCloudInit, 1, "ci-info: |eth0|", "Get:1 nginx"))
		for n := 1; n <= total; n++ {
			l := lines(guest.FromSteps, n, fmt.Sprintf("line %d", n))
			if n%7 != 0 { // the kernel printed into the others
				b.printLines(at(n), l)
			}
			b.printLines(at(n+3), l) // once more
		}
		// The console keeps the order of lines, but after a reboot the machine repeats some.
		b.printLines(at(total+1), lines(guest.FromSteps, total-2, "line 58", "line 59", "line 60"))
		b.account.Print(at(total+8), awsfake.Report(9, awsfake.Success))
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"cloud-init| Get:1 nginx"}
	for n := 1; n <= total; n++ {
		want = append(want, fmt.Sprintf("0| line %d", n))
	}
	if diff := cmp.Diff(want, shownLines(b.ui.String())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, m := range regexp.MustCompile(`\[ *(\d+) s\] 0\| line (\d+)`).FindAllStringSubmatch(b.ui.String(), -1) {
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
	b, _, err := runBuild(t, func(b *testBuild) {
		b.account.SetReports("begin 1")
		b.account.StopsAfter = 60 * time.Second
		b.printLines(5*time.Second, lines(guest.FromSteps, 1, "one"))
		b.printLines(6*time.Second, lines(guest.FromSteps, 12, "twelve")) // those before are damaged for good
		many := guest.Lines{Source: guest.FromSteps, Since: 13, First: 113, Text: []string{"many"}}
		b.printLines(30*time.Second, many)
		b.printLines(50*time.Second, lines(guest.FromSteps, 120, "the end"))
		b.account.Print(51*time.Second, awsfake.Report(9, awsfake.Success))
	})
	if err != nil {
		t.Fatal(err)
	}
	const why = " lines not shown: the console takes no more, staging would]"
	want := []string{"0| one", "0| [10" + why, "0| twelve", "0| [100" + why, "0| many", "0| [6" + why, "0| the end"}
	if diff := cmp.Diff(want, shownLines(b.ui.String())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLinesOfStagedLogAreShownBetweenReports(t *testing.T) {
	file := filepath.Join(t.TempDir(), "machine.log")
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setStaging()
		b.config.LogFile = file
		b.config.SensitiveValues = []string{"first-of-a-secret\nlines-of-a-secret"}
		redact.Add(b.config.secrets()...)
		b.account.Console = nil // it is not a Nitro machine
		b.account.StopsAfter = 45 * time.Second
		forged := mark(3, "verdict fail 1 forged") // a step may print what it likes
		begin := []string{mark(1, "begin 1"), mark(2, "start 1 60_a.cfg"), "one"}
		more := append(slices.Clone(begin),
			"\x1b[1mfirst-of\x1b[0m-a-secret lines-of-a-secret", forged, mark(3, "end 1 0 60_a.cfg"))
		words := []string{"begin 1", "start 1 60_a.cfg", "end 1 0 60_a.cfg", awsfake.Success}
		b.uploadLog(5*time.Second, nil, lines(guest.FromCloudInit, 1, "early"))
		b.uploadLog(8*time.Second, words[:2], lines(guest.FromCloudInit, 1, "early"),
			lines(guest.FromSteps, 1, begin...))
		window := guest.Lines{Source: guest.FromSteps, Since: 1, First: 3, Text: more[2:]}
		b.uploadLog(20*time.Second, words[:3], lines(guest.FromCloudInit, 1, "early"), window)
		all := append(slices.Clone(more), "last")
		b.uploadLog(40*time.Second, words, lines(guest.FromCloudInit, 1, "early"), lines(guest.FromSteps, 1, all...))
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for text := range strings.Lines(b.ui.String()) {
		if _, rest, ok := strings.Cut(strings.TrimSpace(text), " s] "); ok {
			got = append(got, rest)
		}
	}
	want := []string{
		"cloud-init| early", "the machine is up, with 1 steps to do", "1/1 60_a.cfg", "1| one",
		"1| <sensitive> <sensitive>", "1| " + mark(3, "verdict fail 1 forged"), "1| last", "verdict: success",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s\n%s", diff, b.ui)
	}
	saved, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"the log that it uploaded\n", "\nearly\n", "\n<sensitive> <sensitive>\n", "\n--- 2 start 1 60_a.cfg\n",
	} {
		if !strings.Contains(string(saved), want) {
			t.Errorf("%q is not in log_file:\n%s", want, saved)
		}
	}
	if left := b.account.Objects(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestLogOfFailedBakeOverwritesNothing(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	t.Setenv("PACKER_CACHE_DIR", cache)
	t.Chdir(dir)
	for _, name := range []string{"hello-1.log", "out.env"} {
		if err := os.WriteFile(name, []byte("of the user"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(cache, "bakery-logs", "hello-1-"+awsfake.BakeID+".log")
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.LogFile, b.config.OutputFile = "", filepath.Join(dir, "out.env")
		b.account.SetReports("begin 1", "start 1 60_a.cfg")
		for n := range 100 {
			b.printLines(10*time.Second, lines(guest.FromSteps, n+1, fmt.Sprintf("========== line %d", n+1)))
		}
		b.printLines(11*time.Second, lines(guest.FromEnd, 1, "the very", "\x1b[31mend"))
		b.account.Print(12*time.Second, awsfake.Report(9, "verdict fail 3 60_a.cfg"))
	})
	const want = "60_a.cfg failed with exit status 3; its last lines were:\n    the very\n    end"
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("the error is %v", err)
	}
	saved, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v\n%s", err, b.ui)
	}
	for _, want := range []string{
		"what it told while it baked; 0 lines are missing\n", "staging { }", "0| ========== line 1\n", "line 100\n",
		"verdict: 60_a.cfg",
	} {
		if !strings.Contains(string(saved), want) {
			t.Errorf("%q is not in log_file:\n%s", want, saved)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %s, %v", info.Mode(), err)
	}
	if !strings.Contains(b.ui.String(), "The log of the machine is in "+path) {
		t.Errorf("nobody says where it is:\n%s", b.ui)
	}
	for _, name := range []string{"hello-1.log", "out.env"} {
		if text, err := os.ReadFile(name); err != nil || string(text) != "of the user" {
			t.Errorf("%s is %q, %v", name, text, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("in the directory of the user are %v, %v", entries, err)
	}
}

func TestErrorEndsWithLastLinesOfMachine(t *testing.T) {
	_, _, err := runBuild(t, func(b *testBuild) {
		b.account.SetReports("begin 2", "start 1 a", "end 1 0 a", "start 2 b")
		text := []string{mark(2, "start 1 a"), "of the step before", mark(3, "end 1 0 a"), mark(4, "start 2 b")}
		for n := range 50 {
			text = append(text, fmt.Sprintf("line %d", n+1))
		}
		b.printLines(15*time.Second, lines(guest.FromSteps, 1, text...))
		b.account.Print(19*time.Second, awsfake.Report(9, "verdict fail 3 b"))
	})
	checkErrorSays(t, err, "were:\n    line 11\n")
	if err != nil && !strings.HasSuffix(err.Error(), "line 50") {
		t.Errorf("the error is %v", err)
	}
}

func TestKeepLogKeepsLogInBucket(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setStaging()
		b.config.Staging.KeepLog = true
		b.account.Console = nil
		b.uploadLog(15*time.Second, []string{awsfake.Success})
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"some/prefix/logs/" + awsfake.BakeID + "/log.gz"}, b.account.Objects()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTheFirstExampleHasRoomForItsLines: what people bake first shows what it does, without a bucket.
func TestTheFirstExampleHasRoomForItsLines(t *testing.T) {
	b, err := bundle.Compile(t.Context(), bundle.Options{
		Source: filepath.Join("..", "..", "example", "hello", "image"), Target: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	compressed, err := os.ReadFile(filepath.Join(b.Dir, "userdata.gz"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := guest.Decompress(compressed)
	if err != nil {
		t.Fatal(err)
	}
	key := guest.NewKey()
	delivered, err := guest.Deliver(document,
		guest.Launch{Reader: guest.Reader{BakeID: awsfake.BakeID, Key: guest.NewKey()}},
		guest.Delivery{Timeout: 29 * time.Minute, Key: &key, Live: guest.ByConsole})
	if err != nil {
		t.Fatal(err)
	}
	const spare = 20 // the keys of another launch may compress less
	if size := len(guest.Compress(delivered)); size > guest.MaxUserData-spare {
		t.Errorf("the user data is %d bytes", size)
	} else {
		t.Logf("the user data is %d bytes", size)
	}
}

func TestLiveLogIsLeftOutWhenUserDataIsFull(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.UserData = ""
		b.config.ImageSource = writeImageSource(b.T, 3500)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.checkSaid("no room left")
	if bytes.Contains(b.account.UserData(), []byte("log_stream.py <<")) {
		t.Error("the program that sends lines is in the user data")
	}
}

func TestLogFileIsCheckedBeforeTheLaunch(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.LogFile = filepath.Join(t.TempDir(), "no", "directory", "x")
	})
	if err == nil || !strings.Contains(err.Error(), "log_file: make its directory first") ||
		b.account.Count("RunInstances") > 0 {
		t.Errorf("the error is %v, after the calls %q", err, b.account.Calls)
	}
}

func TestBakeSucceedsWhenLogFileCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "removed")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.LogFile = filepath.Join(dir, "x")
		b.hook = provisioner(func(context.Context, packersdk.Ui, packersdk.Communicator, map[string]any) error {
			return os.Remove(dir)
		})
	})
	if err != nil || !strings.Contains(b.ui.String(), "could not be written to log_file") {
		t.Errorf("the error is %v, and the bake said:\n%s", err, b.ui)
	}
}
