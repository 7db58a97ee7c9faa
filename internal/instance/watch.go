// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// reasonOwnShutdown is EC2's code for a machine that has powered itself off:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html.
const reasonOwnShutdown = "Client.InstanceInitiatedShutdown"

// MachineTimeout returns the limit that the machine itself is given for instance_timeout. It is shorter than Packer's,
// so that a bake that hangs ends with the machine's own account of where: its count begins when cloud-init does, up to
// half a minute after the launch, and stopping a step, uploading the log and reading the console take some seconds
// more.
func MachineTimeout(limit time.Duration) time.Duration {
	return limit - min(limit/4, time.Minute)
}

const (
	// lateMargin is how long after instance_timeout a stop still counts, with verdict = "stop".
	lateMargin = time.Minute
	// abandonedMargin is how long after instance_timeout a machine without the guest program powers itself off.
	abandonedMargin = 5 * time.Minute
)

// AbandonedAfter returns how long after its boot a machine ends itself whose stop is success. It must be later than
// Packer ends it: else it would end a bake that hangs, as a success.
func AbandonedAfter(limit time.Duration) time.Duration { return limit + abandonedMargin }

// watch shows what the machine says until it has stopped.
func (m *Instance) watch(ctx context.Context, c *WatchConfig) error {
	limit := c.InstanceTimeout
	timeout := fmt.Errorf("instance_timeout of %s is over and the machine has not stopped", limit)
	ctx, cancel := context.WithDeadlineCause(ctx, m.Launched.Add(limit), timeout)
	defer cancel()
	interval := m.guard.Backoff(func() time.Duration { return m.pollInterval(c.InstancePollInterval) })
	err := awscall.Poll(ctx, interval, func(ctx context.Context) (bool, error) { return m.watchOnce(ctx, c) })
	if err != nil && context.Cause(ctx) == timeout { //nolint:errorlint // compared with the very one
		if reason := m.lateConsoleReason(); reason != "" {
			timeout = fmt.Errorf("%w; what it said is not known: %s", timeout, reason)
		}
		return m.guard.Annotate(fmt.Errorf("%w: %s", timeout, m.Log.LastOutput()))
	}
	return err
}

// pollInterval shrinks when the machine has reported its verdict and only has to stop, which takes seconds.
func (m *Instance) pollInterval(configured time.Duration) time.Duration {
	_, judged := m.Log.Judge()
	if judged || m.state == types.InstanceStateNameStopping {
		return min(awscall.ShortPause, configured)
	}
	return configured
}

func (m *Instance) watchOnce(ctx context.Context, c *WatchConfig) (bool, error) {
	if err := m.refresh(ctx); err != nil {
		return true, err
	}
	m.tagVolumes(ctx)
	m.readLog(ctx, false)
	outcome, judged := m.Log.Judge()
	if judged && !outcome.OK {
		return true, m.outcomeError(outcome, c.InstanceTimeout)
	}
	if err := m.checkConsole(c); err != nil {
		return true, err
	}
	if !judged {
		m.announceTimeout(c.InstanceTimeout)
	}
	switch m.state {
	case types.InstanceStateNameStopped:
		return true, m.stopError()
	case types.InstanceStateNameTerminated, types.InstanceStateNameShuttingDown:
		return true, fmt.Errorf("instance %s was terminated: %s: %s", m.ID, m.describeReason(), m.Log.LastOutput())
	}
	return false, m.checkInterruption(ctx)
}

// timeoutNotice is how long before the end of instance_timeout that end is announced.
const timeoutNotice = 5 * time.Minute

// announceTimeout says, once, that instance_timeout is nearly over.
func (m *Instance) announceTimeout(limit time.Duration) {
	left := time.Until(m.Launched.Add(limit))
	if m.timeoutAnnounced || left > min(timeoutNotice, limit/2) {
		return
	}
	m.timeoutAnnounced = true
	m.bake.Say("instance_timeout of %s is over in %s, and ends the machine if it still runs: set a longer one for a "+
		"bake that takes longer", limit, left.Round(time.Second))
}

// stopError returns nil for a machine that has powered itself off.
func (m *Instance) stopError() error {
	if aws.ToString(m.reason.Code) == reasonOwnShutdown {
		return nil
	}
	return fmt.Errorf("instance %s did not power itself off: %s: %s", m.ID, m.describeReason(), m.Log.LastOutput())
}

// describeReason says why EC2 stopped or terminated the machine.
func (m *Instance) describeReason() string {
	code := aws.ToString(m.reason.Code)
	words, ok := stopReasonTexts[code]
	if !ok {
		words = aws.ToString(m.reason.Message)
	}
	switch {
	case code == "" && words == "":
		return "EC2 gives no reason"
	case code == "":
		return words
	case words == "":
		return code
	}
	return words + " (" + code + ")"
}

// stopReasonTexts are what EC2's codes mean for a bake, and what to do about it. Source: the list of codes of
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html.
var stopReasonTexts = map[string]string{
	reasonOwnShutdown:               "it shut itself down",
	"Client.UserInitiatedShutdown":  "somebody stopped or terminated it through the EC2 API",
	"Client.UserInitiatedHibernate": "somebody hibernated it through the EC2 API",
	"Client.InternalError": "it could not start; an encrypted disk whose KMS key may not be used is " +
		"the usual cause",
	"Client.InstanceTerminated":           "its operating system asked to be terminated",
	"Client.InvalidSnapshot.NotFound":     "the snapshot of one of its disks does not exist",
	"Client.VolumeLimitExceeded":          "the account's limit of EBS volumes is reached",
	"Server.InsufficientInstanceCapacity": "AWS has no room for this instance_type; try another, or another subnet_id",
	"Server.InternalError":                "AWS had an internal error; bake again",
	"Server.ScheduledStop":                "AWS had scheduled it to be stopped; bake again",
	"Server.SpotInstanceShutdown":         "its spot request was limited or its price exceeded",
	"Server.SpotInstanceTermination":      "its spot request was ended, for price or capacity",
}
