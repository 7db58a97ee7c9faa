// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConsoleViews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &console{}
		say := func(text string) {
			_, _ = io.WriteString(c, text)
			time.Sleep(time.Second)
		}
		say("boot\n")
		c.capture(time.Now(), false)
		say("one\n")
		say("verdict\n")
		running := map[string]string{}
		views := map[string]ConsoleView{
			"plain":                 {},
			"latest":                {Latest: true},
			"latest, a second late": {Latest: true, Lag: 1500 * time.Millisecond},
			"latest, much later":    {Latest: true, Lag: time.Hour},
			"plain, late":           {Lag: 1500 * time.Millisecond},
			"cut":                   {Latest: true, Tail: 10},
			"without the verdict":   {Latest: true, DropLines: "verdict"},
			"empty":                 {Latest: true, Empty: true},
			"not posted":            {Latest: true, NotPosted: true},
			"not posted, plain":     {NotPosted: true},
		}
		for name, v := range views {
			text, _ := c.view(v, time.Now())
			running[name] = string(text)
		}
		all := "boot\none\nverdict\n"
		want := map[string]string{
			"plain": "boot\n", "latest": all, "latest, a second late": "boot\none\n", "latest, much later": "",
			"plain, late": "boot\n",
			"cut":         "e\nverdict\n", "without the verdict": "boot\none\n", "empty": "", "not posted": all,
			"not posted, plain": "boot\n",
		}
		if diff := cmp.Diff(want, running); diff != "" {
			t.Errorf("while it runs (-want +got):\n%s", diff)
		}
		c.capture(time.Now(), true)
		off := map[string]string{}
		for name, v := range views {
			text, _ := c.view(v, time.Now())
			off[name] = string(text)
		}
		want["plain"], want["not posted"] = all, "boot\n"
		if diff := cmp.Diff(want, off); diff != "" {
			t.Errorf("when it is off (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Second)
		if text, _ := c.view(views["plain, late"], time.Now()); string(text) != all {
			t.Errorf("what comes late never comes: %q", text)
		}
	})
}

func TestAConsoleKeepsTheLast64KBAndCutsInTheMiddleOfALine(t *testing.T) {
	c := &console{}
	var all strings.Builder
	for i := range 200_000 { // twice as much as the lab stores
		line := fmt.Sprintf("line %d of many\r\n", i)
		all.WriteString(line)
		_, _ = io.WriteString(c, line)
	}
	c.capture(time.Now(), true)
	want := all.String()[all.Len()-consoleSize:]
	if strings.HasPrefix(want, "line") {
		t.Fatal("the test does not cut a line")
	}
	for _, latest := range []bool{false, true} {
		if text, _ := c.view(ConsoleView{Latest: latest}, time.Now()); string(text) != want {
			t.Errorf("%d bytes, beginning with %.20q", len(text), text)
		}
	}
}
