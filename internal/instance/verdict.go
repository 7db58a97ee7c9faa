// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

const (
	// verdictTimeout is how long EC2 may take to show the end of a stopped machine's console. It posts the text
	// "shortly after" the change of state: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html.
	verdictTimeout = 2 * time.Minute
	// timedOut is the exit status of a step that the guest program's watchdog has stopped, as timeout(1) has it.
	timedOut = 124
)

// findVerdict returns nil when the stopped machine has reported success. Without a verdict, the bake has failed.
func (m *Instance) findVerdict(ctx context.Context, c *WatchConfig) error {
	if c.Verdict == setting.VerdictStop {
		m.bake.Say("The machine has powered itself off, which is success by verdict = \"stop\"")
		return nil
	}
	var outcome guest.Outcome
	end := time.Now().Add(verdictTimeout)
	err := awscall.Poll(ctx, awscall.Every(awscall.RetryPause), func(ctx context.Context) (bool, error) {
		var judged bool
		if outcome, judged = m.pollVerdict(ctx); judged {
			return true, nil
		}
		if time.Now().After(end) || m.console.denied != nil && !m.Log.HasStaged() {
			return true, m.noVerdictError()
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	return m.outcomeError(outcome, c.InstanceTimeout)
}

// pollVerdict looks in the reports seen so far, in the console and the log in S3, and in what EC2 has kept of the
// console.
func (m *Instance) pollVerdict(ctx context.Context) (guest.Outcome, bool) {
	if outcome, judged := guest.Judge(m.Log.Reports()); judged {
		return outcome, true
	}
	m.readLog(ctx, true)
	if outcome, judged := guest.Judge(m.Log.Reports()); judged {
		return outcome, true
	}
	if text, err := m.consoleText(ctx, false); err == nil {
		m.Log.Show(m.Log.ReadOldConsole(text), true)
	}
	return guest.Judge(m.Log.Reports())
}

// outcomeError returns nil for a success. Where the machine's time was up, the error names the setting.
func (m *Instance) outcomeError(o guest.Outcome, limit time.Duration) error {
	if len(o.Tail) == 0 {
		o.Tail = m.Log.Tail()
	}
	if err := o.Err(); err != nil && o.Code == timedOut {
		return fmt.Errorf("%w\nraise instance_timeout (%s) if the step only needs longer", err, limit)
	}
	return o.Err()
}

func (m *Instance) noVerdictError() error {
	err := fmt.Errorf("the machine has powered itself off without a verdict, so it is not known to be whole: %s",
		m.Log.LastOutput())
	return errors.Join(err, m.console.failed, m.Log.Unread())
}
