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
