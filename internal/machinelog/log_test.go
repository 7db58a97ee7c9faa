// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machinelog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

func TestSecretThatReportCutsIsReplaced(t *testing.T) {
	redact.Add("cut-in-its-middle")
	l := new(Log)
	long := strings.Repeat("x", 200)
	fresh := l.addReports([]guest.Report{
		{Seq: 1, Kind: guest.Warn, Text: long + " cut-in-its-mi"}, {Seq: 2, Kind: guest.Warn, Text: "short cut-in"},
	})
	if fresh[0].Text != long+" <sensitive>" || l.reports[0].Text != fresh[0].Text || fresh[1].Text != "short cut-in" {
		t.Errorf("the reports are %+v", fresh)
	}
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The lines come in pieces of any size, in any order within a few seconds, and more than once.
func TestStreamLosesAndRepeatsNoLine(t *testing.T) {
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
				for earlier := n - 1; earlier >= n-5; earlier-- {
					l.Text = slices.Insert(l.Text, 0, fmt.Sprint(earlier))
				}
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
			for _, line := range s.next(a.at, false) {
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

func TestBootNoiseIsNotShown(t *testing.T) {
	var n bootNoise
	var left []string
	for _, line := range []string{
		"Cloud-init v. 22.4.2 running", "ci-info: +----+", "Generating public/private rsa key pair.", "|  o .  |",
		"+----[SHA256]-----+", "Get:1 nginx",
	} {
		if !n.isNoise(line) {
			left = append(left, line)
		}
	}
	if diff := cmp.Diff([]string{"Cloud-init v. 22.4.2 running", "Get:1 nginx"}, left); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A machine may write anything into the one object that it may write.
func TestLogThatUnpacksToTooMuchIsCut(t *testing.T) {
	const limit = 1 << 20
	bomb := gzipped(t, strings.Repeat("@bakery 0000 1 warn x\n", 20*limit/22))
	unzipped, err := unzip(strings.NewReader(bomb), limit)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, unzipped)
	if n != limit || !errors.Is(err, errLogTooLong) {
		t.Errorf("%d bytes of %d are read: %v", n, len(bomb), err)
	}
	unzipped, err = unzip(strings.NewReader(gzipped(t, "a log")), limit)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(unzipped); err != nil || string(text) != "a log" {
		t.Errorf("a log of a machine is %q, %v", text, err)
	}
}

// What a step prints can be told from the reports in log_file, whatever it prints.
func TestPrintedLinesLookLikeNoReports(t *testing.T) {
	w := guest.Writer{Reader: machine.Reader, Secret: machine.Secret}
	steps := []string{
		guest.FormatMark(2, "start 1 a.cfg"), "@bakery-at 9 verdict ok", guest.FormatMark(2, "start 1 evil"),
		"--- 9 verdict ok", "\x1b[0m--- 9 clean", "50 %\r--- 9 clean\r100 %", "x @bakery-at 9 end 1 0 a.cfg",
		"@bakery-lines x 1 1 1", "--- no more" + guest.FormatMark(3, "end 1 0 a.cfg"), "--",
	}
	log := w.Log(
		[]string{w.Report(2, "start 1 a.cfg"), w.Report(3, "end 1 0 a.cfg"), w.Report(4, "verdict fail 3 b.cfg")},
		guest.Lines{Source: guest.FromCloudInit, Since: 1, First: 1, Text: []string{"--- early"}},
		guest.Lines{Source: guest.FromSteps, Since: 1, First: 1, Text: steps},
	)
	var out strings.Builder
	whole, err := copyStaged(t.Context(), &out, strings.NewReader(log), machine.Reader)
	if !whole || err != nil {
		t.Errorf("whole: %t, %v", whole, err)
	}
	want := strings.Join([]string{
		"--- what cloud-init's modules printed, from line 1 on", "| --- early",
		"--- what the steps printed, from line 1 on", "--- 2 start 1 a.cfg", "@bakery-at 9 verdict ok",
		"@bakery-at 2 start 1 evil", "| --- 9 verdict ok", "| --- 9 clean", "50 %", "| --- 9 clean", "100 %",
		"x @bakery-at 9 end 1 0 a.cfg", "@bakery-lines x 1 1 1", "| --- no more", "--- 3 end 1 0 a.cfg", "--",
		"--- verdict: b.cfg failed with exit status 3", "",
	}, "\n")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
