// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

const (
	// verdictTimeout is how long EC2 may take to show the end of a stopped machine's console. It posts the text
	// "shortly after" the change of state: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html.
	verdictTimeout = 2 * time.Minute
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
	if len(o.Tail) == 0 {
		o.Tail = b.live().tail()
	}
	if err := o.Err(); err != nil && o.Code == timedOut {
		return fmt.Errorf("%w\nraise instance_timeout (%s) if the step only needs longer", err, b.config.InstanceTimeout)
	}
	return o.Err()
}

// lookForVerdict looks in the reports seen so far, in the console and the staged log, and in what EC2 has kept of the console.
func (b *bake) lookForVerdict(ctx context.Context) (guest.Outcome, bool) {
	m := b.machine
	if outcome, judged := guest.Judge(m.reports); judged {
		return outcome, true
	}
	b.listen(ctx, true)
	if outcome, judged := guest.Judge(m.reports); judged {
		return outcome, true
	}
	if text, err := b.consoleText(ctx, false); err == nil {
		b.live().add(b.live().unsealer.Read(text))
		b.tellAll(m.note(guest.ReadReports(text, b.id)), true)
	}
	return guest.Judge(m.reports)
}

func (b *bake) noVerdict() error {
	err := fmt.Errorf("the machine has powered itself off without a verdict, so it is not known to be whole: %s",
		b.machine.lastWords())
	return errors.Join(err, b.machine.unheard, b.live().unread)
}
