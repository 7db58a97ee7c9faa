// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testID = "0123456789abcdef"

// testReader and testWriter are of one machine.
var (
	testReader = Reader{BakeID: testID, Key: Key{4}}
	testWriter = Writer{Reader: testReader, Secret: "0123456789abcdef0123456789abcdef"}
)

// line writes a report as the guest program does.
func line(seq int, text string) string { return testWriter.Report(seq, text) }

// success is the verdict of a good bake.
var success = "verdict ok " + testWriter.Secret

// from returns reports with the commitment of the test's machine.
func from(reports ...Report) []Report {
	for i := range reports {
		reports[i].Commitment = Commitment(testWriter.Secret)
	}
	return reports
}

func TestReports(t *testing.T) {
	start := Report{Seq: 2, Kind: Start, Step: 1, Name: "60_app.cfg runcmd[3]"}
	verdict := Report{Seq: 9, Kind: Verdict, Code: 100, Name: "cloud-init packages"}
	for name, c := range map[string]struct {
		console string
		want    []Report
	}{
		"every kind": {
			line(1, "begin 12") + line(2, "start 1 60_app.cfg runcmd[3]") +
				line(3, "end 1 0 60_app.cfg runcmd[3]") + line(4, "boot 2") +
				line(5, "warn w w") +
				line(6, "tail ") + line(7, "reason it was full") +
				line(9, "verdict fail 100 cloud-init packages"),
			[]Report{
				{Seq: 1, Kind: Begin, Total: 12}, start, {Seq: 3, Kind: End, Step: 1, Name: "60_app.cfg runcmd[3]"},
				{Seq: 4, Kind: Boot, Step: 2}, {Seq: 5, Kind: Warn, Text: "w w"}, {Seq: 6, Kind: Tail},
				{Seq: 7, Kind: Reason, Text: "it was full"}, verdict,
			},
		},
		"a good verdict": {line(3, success), []Report{{Seq: 3, Kind: Verdict, OK: true, Secret: testWriter.Secret}}},
		"two reports in one line": {
			strings.Trim(line(2, "start 1 60_app.cfg runcmd[3]"), "\r\n") +
				line(9, "verdict fail 100 cloud-init packages"),
			[]Report{start, verdict},
		},
		"out of order and twice": {
			line(9, "verdict fail 100 cloud-init packages") +
				strings.Repeat(line(2, "start 1 60_app.cfg runcmd[3]"), 3), []Report{start, verdict},
		},
		"with another key": {Writer{Reader{testID, Key{5}}, testWriter.Secret}.Report(1, "begin 1"), nil},
		"two with one number": {
			line(2, "start 1 60_app.cfg runcmd[3]") + line(2, "warn x"),
			[]Report{start, {Seq: 2, Kind: Warn, Text: "x"}},
		},
		"another bake's": {
			Writer{Reader{"fedcba9876543210", testReader.Key}, testWriter.Secret}.Report(1, "begin 1"), nil,
		},
		"behind a kernel time stamp": {
			"[   12.5] foo" + strings.TrimLeft(line(2, "start 1 60_app.cfg runcmd[3]"), "\r\n"),
			[]Report{start},
		},
		"kernel text right behind": {
			strings.TrimRight(line(2, "start 1 60_app.cfg runcmd[3]"), "\r\n") + "[   13.0] eth0: up\r\n",
			[]Report{start},
		},
		"colours between": {
			"\x1b[0;32m" + line(2, "start 1 60_app.cfg runcmd[3]") + "\x1b[0m", []Report{start},
		},
		"cut in the middle": {line(2, "start 1 60_app.cfg runcmd[3]")[:40], nil},
		"a byte changed": {
			strings.Replace(line(2, "start 1 60_app.cfg runcmd[3]"), "app", "apq", 1), nil,
		},
		"a kind that does not exist": {line(2, "stop 1"), nil},
		"invalid numbers": {
			line(2, "begin x") + line(3, "start x y") + line(4, "end 1 x y") +
				line(5, "verdict fail x y"), nil,
		},
		"nothing": {"", nil},
		"cut in front, whole further behind": {
			line(2, "start 1 60_app.cfg runcmd[3]")[30:] +
				line(9, "verdict fail 100 cloud-init packages"), []Report{verdict},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(from(c.want...), testReader.Reports([]byte(c.console))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// judge returns what becomes of a bake whose console shows a text: "success", "failure" or "no verdict".
func judge(console string) string {
	switch o, judged := Judge(testReader.Reports([]byte(console))); {
	case !judged:
		return "no verdict"
	case o.OK:
		return "success"
	}
	return "failure"
}

func TestJudge(t *testing.T) {
	other := Writer{Reader: testReader, Secret: "other"} // whoever has the user data can write such reports
	known := Writer{Reader: testReader, Secret: "made up"}
	lie := func(seq int, words string) string { // a report with the commitment of the machine, which was printed
		body := fmt.Sprintf("%s %d %s %s", testID, seq, Commitment(testWriter.Secret), words)
		return fmt.Sprintf("\r\n@bakery %s %d %s\r\n", known.Key.code([]byte(body)), len(body), body)
	}
	begin := line(1, "commit") + line(2, "begin 1") + line(3, "start 1 a")
	end := line(4, "end 1 0 a") + line(5, "clean") + line(6, success)
	fail := line(4, "verdict fail 3 a")
	for name, c := range map[string]struct{ console, want string }{
		"a good bake":                  {begin + end, "success"},
		"every line of it twice":       {begin + begin + end + end, "success"},
		"in another order":             {end + begin, "success"},
		"without its first lines":      {end, "success"},
		"with the last two lines only": {line(5, "clean") + line(6, success), "success"},
		"with a warning before the verdict": {
			begin + end[:len(end)-len(line(6, success))] + line(6, "warn x") + line(7, success), "success",
		},
		"uploaded once more after a warning": {begin + end + line(7, "warn x") + line(8, success), "success"},
		"no verdict yet":                     {begin, "no verdict"},
		"nothing":                            {"", "no verdict"},
		"a failed bake":                      {begin + fail, "failure"},
		"a failure before a success":         {begin + fail + end, "failure"},
		"a failure after a success":          {begin + end + line(7, "verdict fail 3 a"), "failure"},
		"a failure with the same number":     {begin + line(6, "verdict fail 3 a") + end, "failure"},
		"a forged success behind a failure":  {begin + fail + lie(999999999, success), "failure"},
		"a forged success, secret unknown": {
			begin + lie(999999999, "clean") + lie(999999999, "verdict ok "+known.Secret), "failure",
		},
		"a forged success without a secret": {begin + lie(5, "clean") + lie(6, "verdict ok"), "failure"},
		"a forged success as it once was":   {begin + lie(5, "clean") + lie(6, "verdict ok 0 bake"), "failure"},
		"a forged machine beside this one": {
			begin + other.Report(7, "clean") + other.Report(8, "verdict ok other"), "failure",
		},
		"a forged machine before this one": {other.Report(1, "commit") + begin + end, "failure"},
		"a success before the clean-up":    {begin + line(5, success), "no verdict"},
		"a step after the clean-up": {
			begin + line(4, "clean") + line(5, "start 2 b") + line(6, success), "no verdict",
		},
		"a step after the success":      {begin + end + line(7, "start 2 b"), "failure"},
		"a failure that is cut":         {begin + fail[:60], "no verdict"},
		"a success whose secret is cut": {begin + end[:len(end)-10], "no verdict"},
		"an old report of success": {
			"\r\n@bakery 1234567 " + testID + " 999999999 verdict ok 0 bake\r\n", "no verdict",
		},
		"a success of another bake": {
			begin + Writer{Reader{"fedcba9876543210", testReader.Key}, testWriter.Secret}.Report(9, success),
			"no verdict",
		},
	} {
		if got := judge(c.console); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestFailureSaysWhatHappened(t *testing.T) {
	o, judged := Judge(from(
		Report{Kind: Tail, Text: "E: no such package"},
		Report{Kind: Reason, Text: "why"},
		Report{Kind: Verdict, Code: 100, Name: "cloud-init packages"},
	))
	if !judged || o.OK {
		t.Fatalf("got %+v, %v", o, judged)
	}
	want := "baking on the machine: cloud-init packages failed with exit status 100: why; its last lines were:\n   " +
		" E: no such package"
	if got := o.Err(); got == nil || got.Error() != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}

func TestLastStep(t *testing.T) {
	for want, reports := range map[string][]Report{
		"it was running step 2, b": {{Kind: Start, Step: 1, Name: "a"},
			{Kind: End, Step: 1}, {Kind: Start, Step: 2, Name: "b"}, {Kind: Warn}},
		"it had ended step 1, a, with exit status 0": {{Kind: Start, Step: 1, Name: "a"},
			{Kind: End, Step: 1, Name: "a"}, {Kind: Boot}},
		"it was running cloud-init's own modules": {{Kind: Commit}},
		"it never reported: cloud-init did not run or did not read the user data, or its reports are on a console " +
			"that EC2 does not show": nil,
	} {
		if got := LastStep(reports); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzReports(f *testing.F) {
	f.Add([]byte(line(1, "begin 12") + "\x1b[1mnoise" + line(2, "end 1 0 a b")))
	f.Add([]byte("@bakery 0123456789abcdef0123456789abcdef 3 4"))
	f.Fuzz(func(t *testing.T, console []byte) {
		reports := testReader.Reports(console)
		for i := 1; i < len(reports); i++ {
			if reports[i-1].Seq > reports[i].Seq {
				t.Errorf("reports out of order: %v", reports)
			}
		}
		whole := append(append([]byte{}, console...), line(999999998, "verdict fail 3 a")...)
		if o, judged := Judge(testReader.Reports(whole)); !judged || o.OK {
			t.Errorf("a failure behind %q was lost: %v", console, o)
		}
	})
}

// FuzzForgedReports mixes the reports of one machine, whole, doubled, cut, replayed and in any order, with reports of
// whoever has its user data, in the order that the bytes say. The machine's first report was read, as with staging it
// always is. A machine that did not say so is never good; one that did is, while nobody forges.
func FuzzForgedReports(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6}, uint32(999999999), "verdict ok 0 bake", false)
	f.Add([]byte{0, 1, 2, 3, 8, 10, 11, 12}, uint32(7), "clean", true)
	f.Add([]byte{6, 5, 0, 13, 14, 15}, uint32(7), "verdict ok made up", true)
	f.Fuzz(func(t *testing.T, order []byte, seq uint32, words string, failed bool) {
		own := []string{line(1, "commit"), line(2, "begin 1"), line(3, "start 1 a"), line(4, "end 1 0 a"),
			line(5, "warn w"), line(6, "clean"), line(7, success)}
		if failed { // the secret is never revealed
			own = append(own[:3], line(4, "reason why"), line(5, "verdict fail 3 a"))
		}
		if strings.Contains(words, testWriter.Secret) {
			return
		}
		n := int(seq % 1_000_000_000)
		forged := []string{
			Writer{testReader, "other"}.Report(n, words),
			Writer{testReader, "other"}.Report(n, "verdict ok other"), Writer{testReader, "other"}.Report(n, "clean"),
			"\r\n@bakery " + words + "\r\n", words,
		}
		body := printable(fmt.Sprintf("%s %d %s %s", testID, n, Commitment(testWriter.Secret), words))
		body = body[:min(len(body), longestReport)]
		forged = append(forged, fmt.Sprintf("\r\n@bakery %s %d %s\r\n",
			testReader.Key.code([]byte(body)), len(body), body))
		var console strings.Builder
		console.WriteString(own[0])
		isForged, has := false, map[int]bool{}
		for _, b := range order {
			at, cut := int(b)%(2*len(own)+len(forged)), false
			if at >= len(own)+len(forged) {
				at, cut = at-len(own)-len(forged), true
			}
			switch {
			case cut:
				console.WriteString(own[at][:len(own[at])/2])
			case at < len(own):
				console.WriteString(own[at])
				has[at] = true
			default:
				console.WriteString(forged[at-len(own)])
				isForged = true
			}
		}
		switch got := judge(console.String()); {
		case got == "success" && (failed || !has[len(own)-1] || !has[len(own)-2]):
			t.Errorf("%q is a success", console.String())
		case got != "success" && !isForged && !failed && has[len(own)-1] && has[len(own)-2]:
			t.Errorf("%q is no success: %s", console.String(), got)
		}
	})
}
