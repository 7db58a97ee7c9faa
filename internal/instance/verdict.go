// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

const (
	// verdictTimeout is how long EC2 may take to show the end of a stopped machine's console. It posts the text
	// "shortly after" the change of state: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_GetConsoleOutput.html.
	verdictTimeout = 2 * time.Minute
	// lateVerdictTimeout is the same for a machine on Xen. Others that read the console have seen it come after 5 to 10
	// minutes: https://github.com/coreos/coreos-assembler (kola waits 10), https://github.com/coreos/mantle/pull/802.
	lateVerdictTimeout = 15 * time.Minute
	// timedOut is the exit status of a step that the guest program's watchdog has stopped, as timeout(1) has it.
	timedOut = 124
)

// findVerdict returns nil when the stopped machine has reported success. Without a verdict, the bake has failed.
func (m *Instance) findVerdict(ctx context.Context, c *WatchConfig) error {
	if c.Verdict == setting.VerdictStop {
		if err := m.checkLate(c.InstanceTimeout); err != nil {
			return err
		}
		m.bake.Say("The machine has powered itself off, which is success by verdict = \"stop\"")
		return nil
	}
	var outcome guest.Outcome
	began, announced := time.Now(), false
	err := awscall.Poll(ctx, m.verdictInterval(c), func(ctx context.Context) (bool, error) {
		var judged bool
		if outcome, judged = m.pollVerdict(ctx); judged {
			return true, nil
		}
		timeout := m.verdictTimeout()
		if time.Since(began) >= timeout || m.console.denied != nil && !m.Log.HasStaged() {
			return true, m.noVerdictError()
		}
		if timeout == lateVerdictTimeout && !announced {
			announced = true
			m.bake.Say("The machine has stopped; waiting for its verdict, up to %s: %s", timeout, m.lateConsoleReason())
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	return m.outcomeError(outcome, c.InstanceTimeout)
}

// showsConsoleLate reports whether EC2 shows the console only minutes after the machine has stopped: it says so of the
// type, or has refused the newest text, as it does for every machine that is not of Nitro.
func (m *Instance) showsConsoleLate() bool {
	return m.hypervisors.showsConsoleLate(m.option.instanceType) || m.console.oldTextOnly
}

// lateConsoleReason says why the console is late, where it is, and what helps.
func (m *Instance) lateConsoleReason() string {
	switch {
	case !m.showsConsoleLate():
		return ""
	case m.Log.HasStaged():
		return fmt.Sprintf("EC2 shows the console of a %s only minutes after the stop, and its log in S3 has none",
			m.option.instanceType)
	}
	return fmt.Sprintf("EC2 shows the console of a %s only minutes after the stop (%s needs none)",
		m.option.instanceType, stagingExample)
}

// verdictTimeout returns how long the verdict of a stopped machine may be in coming. A late console is not waited for
// where it cannot make the bake a success any more.
func (m *Instance) verdictTimeout() time.Duration {
	if m.showsConsoleLate() && m.Log.CanSucceed() {
		return lateVerdictTimeout
	}
	return verdictTimeout
}

// verdictInterval returns how often to look for the verdict of a stopped machine.
func (m *Instance) verdictInterval(c *WatchConfig) func() time.Duration {
	return m.guard.Backoff(func() time.Duration {
		if m.showsConsoleLate() {
			return c.InstancePollInterval
		}
		return awscall.RetryPause
	})
}

// checkLate returns an error for a stop after instance_timeout, which watch does not see when this computer was
// suspended: its timers stand still then, but the machine goes on, and may have ended itself (AbandonedAfter).
func (m *Instance) checkLate(limit time.Duration) error {
	took := time.Now().Round(0).Sub(m.Launched.Round(0)) // without the readings of the timers' clock
	if took <= limit+lateMargin {
		return nil
	}
	return fmt.Errorf("the machine has powered itself off, but instance_timeout of %s was over: it was launched %s "+
		"ago, and this computer was suspended or its clock was set. Nobody knows whether it has finished; bake again",
		limit, took.Round(time.Second))
}

// pollVerdict reads the console and the log in S3 once more, since a failure counts whenever it was reported, and what
// EC2 has kept of the console.
func (m *Instance) pollVerdict(ctx context.Context) (guest.Outcome, bool) {
	m.readLog(ctx, true)
	if outcome, judged := m.Log.Judge(); judged {
		return outcome, true
	}
	if m.console.oldTextOnly { // it was read
		return guest.Outcome{}, false
	}
	if text, err := m.consoleText(ctx, false); err == nil {
		m.Log.Show(ctx, m.Log.ReadOldConsole(text), true)
	}
	return m.Log.Judge()
}

// outcomeError returns nil for a success. It says what only the builder knows: the setting of the machine's time, its
// type, and its subnet.
func (m *Instance) outcomeError(o guest.Outcome, limit time.Duration) error {
	if len(o.Tail) == 0 {
		o.Tail = m.Log.Tail()
	}
	err := o.Err()
	if err == nil {
		return nil
	}
	if o.Code == timedOut {
		err = fmt.Errorf("%w\nraise instance_timeout (%s) if the step only needs longer", err, limit)
	}
	if o.IsOutOfMemory() {
		err = fmt.Errorf("%w\nits instance_type was %s", err, m.option.instanceType)
	}
	switch {
	case !o.HasNoWayToS3():
	case slices.ContainsFunc(o.Tail, func(line string) bool { return strings.Contains(line, "HTTP Error 403") }):
		err = fmt.Errorf("%w\nthe machine reaches S3, which refuses it: allow s3:GetObject for what is staged to the "+
			"role of iam_instance_profile, as in docs/iam", err)
	default:
		err = fmt.Errorf("%w\n%s", err, m.describeWay())
	}
	return err
}

// describeWay says what a machine without a way to S3 has, and what may be missing.
func (m *Instance) describeWay() string {
	subnet := "its subnet"
	if m.subnet != "" {
		subnet = "its subnet, " + m.subnet + ","
	}
	if m.publicAddress == "" {
		return "the machine had no public IP address: " + subnet + " needs a route to a NAT gateway, or an endpoint " +
			"for S3, or set associate_public_ip_address = true where it has an internet gateway"
	}
	return "the machine had the public IP address " + m.publicAddress + ": " + subnet + " needs a route to an " +
		"internet gateway, and its network ACL and the security groups must let HTTPS out"
}

func (m *Instance) noVerdictError() error {
	unread := m.Log.Unread()
	if unread != nil && m.Log.HasSucceeded() {
		return errors.Join(unread, m.console.failed)
	}
	err := fmt.Errorf("the machine has powered itself off without a verdict, so it is not known to be whole: %s\n"+
		"if the user data shuts the machine down, remove that: a bake does it itself after its clean-up. Or set "+
		"verdict = \"stop\"", m.Log.LastOutput())
	return errors.Join(err, m.console.failed, unread)
}
