// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testID = "0123456789abcdef"

// line writes a report as the guest program does.
func line(id string, seq int, text string) string {
	return FormatReport(id, seq, text)
}

func TestChecksumIsThatOfThePOSIXCommand(t *testing.T) {
	for _, text := range []string{"", "a", "0123456789abcdef 1 begin 3", strings.Repeat("long ", 1000)} {
		cmd := exec.CommandContext(t.Context(), "cksum")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("running cksum (Debian package coreutils): %v", err)
		}
		if want, _, _ := strings.Cut(string(out), " "); fmt.Sprint(cksum([]byte(text))) != want {
			t.Errorf("cksum(%.10q) = %d, cksum(1) says %s", text, cksum([]byte(text)), want)
		}
	}
}

func TestReadReports(t *testing.T) {
	start := Report{Seq: 2, Kind: Start, Step: 1, Name: "60_app.cfg runcmd[3]"}
	verdict := Report{Seq: 9, Kind: Verdict, Code: 100, Name: "cloud-init packages"}
	for name, c := range map[string]struct {
		console string
		want    []Report
	}{
		"every kind": {
			line(testID, 1, "begin 12") + line(testID, 2, "start 1 60_app.cfg runcmd[3]") +
				line(testID, 3, "end 1 0 60_app.cfg runcmd[3]") + line(testID, 4, "boot 2") +
				line(testID, 5, "warn w w") +
				line(testID, 6, "tail ") + line(testID, 7, "reason it was full") +
				line(testID, 9, "verdict fail 100 cloud-init packages"),
			[]Report{
				{Seq: 1, Kind: Begin, Total: 12}, start, {Seq: 3, Kind: End, Step: 1, Name: "60_app.cfg runcmd[3]"},
				{Seq: 4, Kind: Boot, Step: 2}, {Seq: 5, Kind: Warn, Text: "w w"}, {Seq: 6, Kind: Tail},
				{Seq: 7, Kind: Reason, Text: "it was full"}, verdict,
			},
		},
		"a good verdict": {line(testID, 3, "verdict ok 0 bake"),
			[]Report{{Seq: 3, Kind: Verdict, OK: true, Name: "bake"}}},
		"out of order and twice": {
			line(testID, 9, "verdict fail 100 cloud-init packages") +
				strings.Repeat(line(testID, 2, "start 1 60_app.cfg runcmd[3]"), 3), []Report{start, verdict},
		},
		"another bake's": {line("fedcba9876543210", 1, "begin 1"), nil},
		"behind a kernel time stamp": {
			"[   12.5] foo" + strings.TrimLeft(line(testID, 2, "start 1 60_app.cfg runcmd[3]"), "\r\n"),
			[]Report{start},
		},
		"kernel text right behind": {
			strings.TrimRight(line(testID, 2, "start 1 60_app.cfg runcmd[3]"), "\r\n") + "[   13.0] eth0: up\r\n",
			[]Report{start},
		},
		"colours between": {
			"\x1b[0;32m" + line(testID, 2, "start 1 60_app.cfg runcmd[3]") + "\x1b[0m", []Report{start},
		},
		"cut in the middle": {line(testID, 2, "start 1 60_app.cfg runcmd[3]")[:40], nil},
		"a byte changed": {
			strings.Replace(line(testID, 2, "start 1 60_app.cfg runcmd[3]"), "app", "apq", 1), nil,
		},
		"a kind that does not exist": {line(testID, 2, "stop 1"), nil},
		"invalid numbers": {
			line(testID, 2, "begin x") + line(testID, 3, "start x y") + line(testID, 4, "end 1 x y") +
				line(testID, 5, "verdict ok"), nil,
		},
		"nothing": {"", nil},
		"cut in front, whole further behind": {
			line(testID, 2, "start 1 60_app.cfg runcmd[3]")[30:] +
				line(testID, 9, "verdict fail 100 cloud-init packages"), []Report{verdict},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, ReadReports([]byte(c.console), testID)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	if _, judged := Judge([]Report{{Kind: Start, Step: 1, Name: "x"}}); judged {
		t.Error("a bake without a verdict was judged")
	}
	o, judged := Judge(
		[]Report{
			{Kind: Tail, Text: "E: no such package"},
			{Kind: Reason, Text: "why"},
			{Kind: Verdict, Code: 100, Name: "cloud-init packages"},
		},
	)
	if !judged || o.OK {
		t.Fatalf("got %+v, %v", o, judged)
	}
	want := "baking on the machine: cloud-init packages failed with exit status 100: why; its last lines were:\n   " +
		" E: no such package"
	if got := o.Err(); got == nil || got.Error() != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
	if o, judged := Judge([]Report{{Kind: Verdict, OK: true}}); !judged || o.Err() != nil {
		t.Errorf("a good verdict gave %v, %v", o, judged)
	}
}

func TestLastStep(t *testing.T) {
	for want, reports := range map[string][]Report{
		"it was running step 2, b": {{Kind: Start, Step: 1, Name: "a"},
			{Kind: End, Step: 1}, {Kind: Start, Step: 2, Name: "b"}, {Kind: Warn}},
		"it had ended step 1, a, with exit status 0": {{Kind: Start, Step: 1, Name: "a"},
			{Kind: End, Step: 1, Name: "a"}, {Kind: Boot}},
		"it was running cloud-init's own modules":                                  {{Kind: Begin}},
		"it never reported: cloud-init did not run, or did not read the user data": nil,
	} {
		if got := LastStep(reports); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func FuzzReadReports(f *testing.F) {
	f.Add([]byte(line(testID, 1, "begin 12") + "\x1b[1mnoise" + line(testID, 2, "end 1 0 a b")))
	f.Add([]byte("@bakery 1 2 3"))
	f.Fuzz(func(t *testing.T, console []byte) {
		reports := ReadReports(console, testID)
		for i := 1; i < len(reports); i++ {
			if reports[i-1].Seq >= reports[i].Seq {
				t.Errorf("reports out of order: %v", reports)
			}
		}
		whole := append(append([]byte{}, console...), line(testID, 999999, "verdict ok 0 bake")...)
		if o, judged := Judge(ReadReports(whole, testID)); !judged && !strings.Contains(string(console), " 999999 ") {
			t.Errorf("a verdict behind %q was lost: %v", console, o)
		}
	})
}
