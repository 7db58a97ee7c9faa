// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testKey = Key{1, 2, 3}

// printed returns what a machine prints on its console for some chunks of lines.
func printed(chunks ...Lines) []string {
	var all []string
	for _, l := range chunks {
		all = append(all, FormatLines(testID, testKey, l)...)
	}
	return all
}

func steps(first int, text ...string) Lines {
	return Lines{Source: FromSteps, Since: first, First: first, Text: text}
}

func TestLinesOnTheConsoleAreReadBack(t *testing.T) {
	one := steps(1, "first", "", "\x1b[1mthird\x1b[0m \xff")
	two := Lines{
		Source: FromCloudInit,
		Since:  2,
		First:  90,
		Text:   slices.Repeat([]string{strings.Repeat("long ", 100)}, 50),
	}
	for name, c := range map[string]struct {
		console string
		want    []Lines
	}{
		"whole":   {strings.Join(printed(one, two), ""), []Lines{one, two}},
		"doubled": {strings.Repeat(strings.Join(printed(one), ""), 3), []Lines{one}},
		"kernel text right behind": {
			strings.ReplaceAll(strings.Join(printed(one), ""), ".\r\n", ".[ 1.0] eth0: up\r\n"), []Lines{one},
		},
		"colours and a time stamp": {
			"[    1.5] \x1b[0;32m" + strings.TrimSpace(strings.Join(printed(one), "")) + "\x1b[0m", []Lines{one},
		},
		"kernel text inside": {
			strings.Replace(strings.Join(printed(one), ""), " 0 1 ", " 0 [ 1.0] eth0: up\r\n1 ", 1), nil,
		},
		"a byte changed": {strings.Replace(strings.Join(printed(one), ""), testID+" ", "0023456789abcdef ", 1),
			nil},
		"another bake's":    {strings.Join(FormatLines("fedcba9876543210", testKey, one), ""), nil},
		"with another key":  {strings.Join(FormatLines(testID, Key{9}, one), ""), nil},
		"an unknown source": {strings.Join(printed(Lines{Source: 7, Since: 1, First: 1}), ""), nil},
		"invalid line numbers": {
			strings.Join(printed(Lines{Source: FromSteps, Since: 0, First: 1},
				Lines{Source: FromSteps, Since: 5, First: 1}), ""), nil,
		},
		"no lines": {strings.Join(printed(steps(3)), ""), []Lines{steps(3)}},
		"nothing":  {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, NewUnsealer(testID, testKey).Read([]byte(c.console))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestLinesAreReadFromAnUnreliableConsole prints chunks on a console that keeps only its end, is read at any time, and
// has other output in between. A chunk that was printed twice, and once undamaged, is read.
func TestLinesAreReadFromAnUnreliableConsole(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 0))
		u := NewUnsealer(testID, testKey)
		var console []byte
		got := map[int]int{}
		look := func() {
			for _, l := range u.Read(console[max(0, len(console)-6000):]) {
				got[l.First]++
			}
		}
		const chunks = 20
		for i := range chunks {
			text := strings.Repeat(fmt.Sprint(random.Uint64()), 1+random.IntN(40))
			pieces := printed(steps(i+1, text))
			for _, damaged := range []bool{random.IntN(2) == 0, false} {
				console = append(console, mixed(random, pieces, damaged)...)
			}
			if random.IntN(2) == 0 {
				look()
			}
			if random.IntN(3) == 0 { // a forger knows all but the key
				console = append(console, strings.Join(FormatLines(testID, Key{7}, steps(i+1, "forged")), "")...)
			}
			look()
		}
		for i := range chunks {
			if got[i+1] != 1 {
				t.Fatalf("seed %d: chunk %d was read %d times", seed, i+1, got[i+1])
			}
		}
	}
}

// mixed returns console text of pieces mixed with reports and kernel messages, with one piece damaged when damaged is
// set.
func mixed(random *rand.Rand, pieces []string, damaged bool) []byte {
	var b bytes.Buffer
	bad := -1
	if damaged {
		bad = random.IntN(len(pieces))
	}
	for i, piece := range pieces {
		if i == bad {
			half := random.IntN(len(piece)-8) + 4 // not in the line ends
			piece = piece[:half] + "[   12.5] audit: x" + piece[half:]
		}
		switch random.IntN(4) {
		case 0:
			piece += piece
		case 1:
			piece = "[   12.5] audit" + piece
		case 2:
			piece += line(1+random.IntN(1000), "warn between")
		}
		b.WriteString(piece)
	}
	return b.Bytes()
}

func TestUnsealerBoundsItsMemory(t *testing.T) {
	u := NewUnsealer(testID, testKey)
	for i := range 300 {
		pieces := printed(steps(1, fmt.Sprint(rand.Perm(1000))))
		u.Read([]byte(pieces[i%(len(pieces)-1)]))
	}
	if len(u.part) > maxIncomplete+1 {
		t.Errorf("%d chunks are kept", len(u.part))
	}
	bomb := printed(steps(1, strings.Repeat("0", 8<<20)))
	if got := u.Read([]byte(strings.Join(bomb, ""))); got != nil {
		t.Errorf("a chunk of %d bytes was read", len(got[0].Text[0]))
	}
}

func TestShowNeutralisesALine(t *testing.T) {
	for in, want := range map[string]string{
		"plain \ttext":                     "plain \ttext",
		"\x1b[31mred\x1b[0m":               "red",
		"\x1b]0;title\x07text":             "text",
		"\x1b]8;;http://x\x1b\\link\x1b\\": "link",
		" 10%\r 50%\r100% done\r":          "100% done",
		"bell\a back\b null\x00":           `bell\x07 back\x08 null\x00`,
		"\xff\xfe":                         `\xff\xfe`,
		"\u009b31mC1":                      `\u009b31mC1`,
		"a\u202eb\u2066c":                  `a\u202eb\u2066c`,
		"one\u2028two":                     `one\u2028two`,
		"Grüße":                            "Grüße",
		"\x1e123456":                       "[a line of 123456 bytes is not shown]",
		strings.Repeat("x", 2001):          "[a line of 2001 bytes is not shown]",
		"pass\x1b[0mword":                  "password",
	} {
		if got := Show(in); got != want {
			t.Errorf("Show(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestReadLogReturnsTheEndOfEachSourceAndEveryReport(t *testing.T) {
	var text strings.Builder
	text.WriteString(testWriter.Log([]string{line(1, "begin 1"), line(2, "end 1 0 x")}))
	text.WriteString("@bakery-lines " + testID + " 0 1 1\nno new line at its end@bakery-lines " + testID + " 1 1 1\n")
	text.WriteString(FormatMark(1, "begin 1") + "\n")
	for i := range 200_000 {
		fmt.Fprintf(&text, "line %d\n", i+2)
	}
	// What a step prints is no report, even when it is one word for word.
	text.WriteString("no new line" + strings.TrimSpace(line(3, "verdict fail 3 x")) + "\n")
	text.WriteString(strings.Repeat("y", 100_000) + "\nthe end")
	all, reports, err := ReadLog(t.Context(), strings.NewReader(text.String()), testReader)
	if err != nil || len(all) != 2 || len(reports) != 2 {
		t.Fatalf("%d sources, reports %v, %v", len(all), reports, err)
	}
	if diff := cmp.Diff(
		Lines{Source: FromCloudInit, Since: 1, First: 1, Text: []string{"no new line at its end"}},
		all[0],
	); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	l := all[1]
	if want := fmt.Sprintf("line %d", l.First); l.Source != FromSteps || l.Since != 1 || l.Text[0] != want {
		t.Errorf("line %d is %q, want %q", l.First, l.Text[0], want)
	}
	if last := l.First + len(
		l.Text,
	) - 1; last != 200_004 || l.Text[len(l.Text)-1] != "the end" ||
		l.Text[len(l.Text)-2] != "\x1e100001" {
		t.Errorf("the last line is %d", last)
	}
}

func FuzzUnseal(f *testing.F) {
	f.Add([]byte(strings.Join(printed(steps(1, "a", "b")), "")))
	f.Add([]byte("@bakery-log 1 " + testID + " 0123456789abcdef 0 1 AAAA."))
	f.Fuzz(func(t *testing.T, console []byte) {
		u := NewUnsealer(testID, testKey)
		u.Read(console)
		want := steps(5, "whole")
		got := u.Read(append(console, strings.Join(printed(want), "")...))
		if !slices.ContainsFunc(got, func(l Lines) bool { return cmp.Equal(l, want) }) {
			t.Errorf("lines behind %q were lost: %v", console, got)
		}
	})
}

func FuzzReadLog(f *testing.F) {
	f.Add([]byte(testWriter.Log([]string{line(1, "begin 1")}, steps(1, "a"),
		Lines{Since: 1, First: 3, Text: []string{"b"}})))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, _, _ := ReadLog(t.Context(), bytes.NewReader(text), testReader)
		for _, l := range all {
			if l.First < 1 || l.Since < 1 || l.Source < 0 || l.Source >= sources {
				t.Errorf("lines %+v of %q", l, text)
			}
			for _, s := range l.Text {
				Show(s)
			}
		}
	})
}
