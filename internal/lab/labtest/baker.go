// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package labtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// Baker is a machine that looks from outside as if it bakes: it reads its user data as cloud-init does, fetches staged
// files, reports on its console as internal/guest/program/bakery.sh does, uploads its log, reports a verdict and powers
// off. It does not run the steps. The zero value takes no time for the steps of the user data and succeeds. With user
// data that has no guest program, the machine powers off at once.
type Baker struct {
	Steps        []string      // names of the steps, instead of those in the user data
	StepDuration time.Duration // how long each step takes
	Lines        int           // how many lines each step prints
	Line         string        // text of each line; "": the step and the line's number
	Fail         int           // number of the step that fails, from 1; 0: none
	Code         int           // exit status of the step that fails; 0 means 1
	Reason       string        // reason that is reported for the failure; "": none
	Hang         int           // number of the step that hangs until the time-out, from 1; 0: none
	NoVerdict    bool          // power off without a verdict
	Speedup      int           // divides the machine's time-out and pauses; 0 means 1

	// Console prints a report; nil: unchanged. See Split, Doubled, Interleaved and Mute.
	Console func(m *Machine, report string)
	// At is called with the number of a step when its begin has been reported, and with 0 when the machine has started.
	At func(m *Machine, step int)
}

// unit is a line in the guest program's list of steps.
type unit struct{ kind, file, name string }

// bake is a Baker on one machine.
type bake struct {
	Baker
	m            *Machine
	instructions instructions
	time         context.Context // ends with the machine, or at its time-out
	life         context.Context // ends with the machine
	units        []unit
	writer       guest.Writer // of reports
	reports      []string
	log          []string // lines
	offset       int      // of the current step in the log
	streamed     int      // lines of the log that have been streamed
	seq          int
}

// Guest runs the bake. It is for Runner.Guest.
func (b Baker) Guest(m *Machine) {
	life, end := context.WithCancel(context.Background())
	defer end()
	go func() {
		select {
		case <-m.Done():
			end()
		case <-life.Done():
		}
	}()
	one := &bake{Baker: b, m: m, life: life}
	in, err := one.readUserData()
	if err != nil && !errors.Is(err, errGaveUp) {
		m.Print(fmt.Sprintf("cloud-init[1]: %v\r\n", err))
		<-m.Done() // cloud-init goes on without user data, and nothing powers the machine off
		return
	}
	if in.hasProgram {
		one.run(in)
	}
	m.PowerOff()
}

// run bakes until the time-out. As in the guest program, a watchdog powers the machine off when that does not end the
// bake.
func (b *bake) run(in instructions) {
	b.instructions, b.units = in, in.units
	if b.Steps != nil {
		b.units = nil
		for _, name := range b.Steps {
			b.units = append(b.units, unit{"script", "-", name})
		}
	}
	timeout := b.scaled(in.timeout)
	watchdog := time.AfterFunc(timeout+b.scaled(2*time.Minute), b.m.PowerOff)
	defer watchdog.Stop()
	var cancel context.CancelFunc
	b.time, cancel = context.WithTimeout(b.life, timeout)
	defer cancel()
	b.report("begin %d", len(b.units))
	b.at(0)
	for i, u := range b.units {
		if !b.step(i+1, u) {
			return
		}
	}
	b.finish("verdict ok " + b.writer.Secret)
}

// scaled converts a duration of the machine to one of the test.
func (b *bake) scaled(d time.Duration) time.Duration { return d / time.Duration(max(1, b.Speedup)) }

// step does one step and reports whether the bake goes on.
func (b *bake) step(n int, u unit) bool {
	b.offset = len(b.log)
	b.report("start %d %s", n, u.name)
	b.at(n)
	for i := range b.Lines {
		b.log = append(b.log, cmp.Or(b.Line, fmt.Sprintf("%s prints line %d of %d", u.name, i+1, b.Lines)))
	}
	b.streamLines()
	pause := b.StepDuration
	if n == b.Hang {
		pause = 1 << 62
	}
	code, reason := 0, ""
	if b.sleep(pause) {
		code, reason = b.download(u)
	}
	switch {
	case b.life.Err() != nil:
		return false
	case b.time.Err() != nil:
		code, reason = 124, fmt.Sprintf("it was stopped: the machine's time, %d s, was up",
			int(b.instructions.timeout.Seconds()))
	case n == b.Fail:
		code, reason = cmp.Or(b.Code, 1), b.Reason
	}
	if code != 0 {
		b.fail(code, u.name, reason)
		return false
	}
	b.report("end %d 0 %s", n, u.name)
	return true
}

// sleep waits, and reports whether it was not interrupted.
func (b *bake) sleep(d time.Duration) bool {
	if d <= 0 {
		return b.time.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-b.time.Done():
		return false
	}
}

// fail does what bakery_fail does: it reports the end of the step's output, the reason and the verdict.
func (b *bake) fail(code int, name, reason string) {
	const lines = 40
	var tail []string
	for _, line := range b.log[b.offset:] {
		if line != "" && !strings.HasPrefix(line, "@bakery-at ") {
			tail = append(tail, line)
		}
	}
	b.printTail(tail[max(0, len(tail)-lines):])
	if reason != "" {
		b.report("reason %s", reason)
	}
	b.finish(fmt.Sprintf("verdict fail %d %s", code, name))
}

// finish does what bakery_upload_log and bakery_power_off do.
func (b *bake) finish(verdict string) {
	if b.NoVerdict {
		return
	}
	var final []string
	if strings.HasPrefix(verdict, "verdict ok") {
		final = []string{b.compose("clean")}
	}
	last := b.compose(verdict)
	if err := b.upload(); err != nil {
		b.report("warn the log could not be uploaded")
		last = b.compose(verdict)
	}
	for range 3 { // without a verdict, the bake fails
		for _, report := range append(final, last) {
			b.print(report)
		}
	}
}

func (b *bake) report(form string, args ...any) { b.print(b.compose(fmt.Sprintf(form, args...))) }

// compose returns the next report, and adds it to the log.
func (b *bake) compose(words string) string {
	b.seq++
	report := b.writer.Report(b.seq, words)
	b.reports = append(b.reports, report)
	b.log = append(b.log, guest.FormatMark(b.seq, words))
	return report
}

func (b *bake) print(report string) {
	if b.Console == nil {
		b.m.Print(report)
		return
	}
	b.Console(b.m, report)
}

func (b *bake) at(step int) {
	if b.At != nil {
		b.At(b.m, step)
	}
}
