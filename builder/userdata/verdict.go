// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

const (
	// verdictTimeout is how long EC2 may take to show the end of a stopped machine's console. It posts the text
	// "shortly after" the change of state: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html.
	verdictTimeout = 2 * time.Minute
	// logLimit is how much of the staged log's end is looked at. Its last line is the verdict.
	logLimit = 1 << 20
	// timedOut is the exit status of a step that the guest program's watchdog has stopped, as timeout(1) has it.
	timedOut = 124
)

// findVerdict finds out what the machine said of its own bake. Without a verdict, the bake has failed.
func findVerdict(ctx context.Context, b *bake) error {
	if b.config.Verdict == verdictStop {
		b.say("The machine has powered itself off, which is success by verdict = \"stop\"")
		return nil
	}
	var outcome guest.Outcome
	end := time.Now().Add(verdictTimeout)
	err := poll(ctx, every(2*time.Second), func(ctx context.Context) (bool, error) {
		var judged bool
		if outcome, judged = b.lookForVerdict(ctx); judged {
			return true, nil
		}
		if time.Now().After(end) || b.machine.silent != nil && b.store == nil {
			return true, b.noVerdict()
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	return b.failure(outcome)
}

// failure is nil for a success; where the machine's time was up, it names the setting.
func (b *bake) failure(o guest.Outcome) error {
	if err := o.Err(); err != nil && o.Code == timedOut {
		return fmt.Errorf("%w\nraise instance_timeout (%s) if the step only needs longer", err, b.config.InstanceTimeout)
	}
	return o.Err()
}

// lookForVerdict looks in the reports seen so far, in the console, and in the staged log.
func (b *bake) lookForVerdict(ctx context.Context) (guest.Outcome, bool) {
	m := b.machine
	if outcome, judged := guest.Judge(m.reports); judged {
		return outcome, true
	}
	for _, r := range b.readConsole(ctx) {
		b.tell(r)
	}
	if text, err := b.consoleText(ctx, false); err == nil {
		for _, r := range m.note(guest.ReadReports(text, b.id)) {
			b.tell(r)
		}
	}
	if outcome, judged := guest.Judge(m.reports); judged {
		return outcome, true
	}
	for _, r := range m.note(guest.ReadReports(b.stagedLog(ctx), b.id)) {
		b.tell(r)
	}
	return guest.Judge(m.reports)
}

func (b *bake) noVerdict() error {
	err := fmt.Errorf("the machine has powered itself off without a verdict, so it is not known to be whole: %s",
		b.machine.lastWords())
	return errors.Join(err, b.machine.silent)
}

// stagedLog is the end of the log the machine has uploaded, or nothing.
func (b *bake) stagedLog(ctx context.Context) []byte {
	if b.store == nil {
		return nil
	}
	object, err := b.store.Open(ctx, b.logKey())
	if err != nil || object == nil {
		return nil
	}
	defer object.Close()
	unzipped, err := gzip.NewReader(object)
	if err != nil {
		return nil
	}
	end := &tailWriter{limit: logLimit}
	// What could be read of a log that is cut off is still worth reading.
	_, _ = io.Copy(end, unzipped) //nolint:gosec // only its end is kept in memory
	return end.text
}

// tailWriter keeps the last limit bytes, or up to twice as many.
type tailWriter struct {
	text  []byte
	limit int
}

func (w *tailWriter) Write(p []byte) (int, error) {
	w.text = append(w.text, p...)
	if over := len(w.text) - w.limit; over > w.limit {
		w.text = append(w.text[:0], w.text[over:]...)
	}
	return len(p), nil
}
