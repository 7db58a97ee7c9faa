// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// around is what else is on the machine's console and in the bucket while a call is broken. None of it may change what
// becomes of a bake.
type around struct {
	name    string
	console string // what the machine prints before it begins
	again   string // what it prints every few milliseconds
	log     string // what the log in S3 is overwritten with, every few milliseconds
}

// foreignMachine reports as the machine of another bake.
var foreignMachine = guest.Writer{
	Reader: guest.Reader{BakeID: "00000000000000ff", Key: guest.Key{1}}, Secret: "foreign",
}

func allAround() []around {
	const kernel = "[    4.200000] audit: type=1400 apparmor=\"STATUS\"\r\n"
	success := foreignMachine.Report(1, "commit") + foreignMachine.Report(2, "clean") +
		foreignMachine.Report(3, "verdict ok foreign")
	old := labReportOfOldVersion("00000000000000ff")
	return []around{
		{name: "nothing else"},
		{name: "a kernel that talks", console: strings.Repeat(kernel, 700), again: kernel},
		{name: "success of another bake", console: success + old, again: success},
		{name: "failure of another bake", console: foreignMachine.Report(3, "verdict fail 1 foreign")},
		{name: "half a report", console: "\r\n@bakery 0123456789abcdef0123456789abcdef 99 ", again: "@bakery "},
		{name: "another log in the bucket", log: foreignMachine.Log([]string{success})},
		{name: "noise in the bucket", log: "noise"},
	}
}

// around returns what is around a case. Where its own verdict is only in the log, nobody overwrites that.
func (c faultCase) around() around {
	all := allAround()
	h := fnv.New32a()
	fmt.Fprint(h, c)
	a := all[int(h.Sum32())%len(all)]
	if a.log != "" && (c.scenario.verdictInLog || c.call.action == "GetConsoleOutput" || c.call.key == "log.gz") {
		return all[0]
	}
	return a
}

// guest returns what a machine does with that around it.
func (a around) guest(inner func(*labtest.Machine)) func(*labtest.Machine) {
	return func(m *labtest.Machine) {
		m.Print(a.console)
		if a.again != "" {
			go func() {
				for range 1000 {
					select {
					case <-m.Done():
						return
					case <-time.After(20 * time.Millisecond):
						m.Print(a.again)
					}
				}
			}()
		}
		inner(m)
	}
}

// overwrite overwrites the log in S3 until the returned function is called.
func (a around) overwrite(t *testing.T, q *quickLab) (stop func()) {
	t.Helper()
	if a.log == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	log := gzippedText(t, a.log)
	done.Go(func() {
		for ctx.Err() == nil {
			if err := q.Overwrite("log.gz", log); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	return func() { cancel(); done.Wait() }
}
