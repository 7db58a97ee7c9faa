// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// reasonOwnShutdown is EC2's code for a machine that has powered itself off:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html.
const reasonOwnShutdown = "Client.InstanceInitiatedShutdown"

// soon is the interval when the machine has said its last word and only has to stop, which takes seconds.
const soon = time.Second

// machineTimeout is the limit the machine itself is given. It is shorter than Packer's, so that a bake that hangs ends
// with the machine's own account of where: its count begins when cloud-init does, up to half a minute after the launch,
// and stopping a step, uploading the log and reading the console take some seconds more.
func machineTimeout(limit time.Duration) time.Duration {
	return limit - min(limit/4, time.Minute)
}

// watch watches the machine until it has stopped, and tells what it reports meanwhile.
func watch(ctx context.Context, b *bake) error {
	limit := b.config.InstanceTimeout
	timeout := fmt.Errorf("instance_timeout of %s is over and the machine has not stopped", limit)
	ctx, cancel := context.WithDeadlineCause(ctx, b.machine.launched.Add(limit), timeout)
	defer cancel()
	err := poll(ctx, b.machine.pulse.stretch(b.watchInterval), b.watchOnce)
	if err != nil && context.Cause(ctx) == timeout { //nolint:errorlint // compared with the very one
		return b.machine.pulse.lastly(fmt.Errorf("%w: %s", timeout, b.machine.lastWords()))
	}
	return err
}

// watchInterval shrinks at the end, and never grows by itself.
func (b *bake) watchInterval() time.Duration {
	_, judged := guest.Judge(b.machine.reports)
	if judged || b.machine.state == types.InstanceStateNameStopping {
		return min(soon, b.config.InstancePollInterval)
	}
	return b.config.InstancePollInterval
}

func (b *bake) watchOnce(ctx context.Context) (bool, error) {
	if err := b.look(ctx, b.machine); err != nil {
		return true, err
	}
	b.listen(ctx, false)
	if outcome, judged := guest.Judge(b.machine.reports); judged && !outcome.OK {
		return true, b.failure(outcome)
	}
	switch b.machine.state {
	case types.InstanceStateNameStopped:
		return true, b.machine.stopError()
	case types.InstanceStateNameTerminated, types.InstanceStateNameShuttingDown:
		return true, fmt.Errorf("instance %s was terminated: %s: %s", b.machine.id, b.machine.why(), b.machine.lastWords())
	}
	return false, b.heedNotice(ctx)
}

// stopError is nil for a machine that has powered itself off.
func (m *machine) stopError() error {
	if aws.ToString(m.reason.Code) == reasonOwnShutdown {
		return nil
	}
	return fmt.Errorf("instance %s did not power itself off: %s: %s", m.id, m.why(), m.lastWords())
}

// why says in words why EC2 stopped or terminated the machine.
func (m *machine) why() string {
	code := aws.ToString(m.reason.Code)
	words, ok := stopReasons[code]
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

// stopReasons are what EC2's codes mean for a bake, and what to do about it. Source: the list of codes of
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html.
var stopReasons = map[string]string{
	reasonOwnShutdown:                     "it shut itself down",
	"Client.UserInitiatedShutdown":        "somebody stopped or terminated it through the EC2 API",
	"Client.UserInitiatedHibernate":       "somebody hibernated it through the EC2 API",
	"Client.InternalError":                "it could not start; an encrypted disk whose KMS key may not be used is the usual cause",
	"Client.InstanceTerminated":           "its operating system asked to be terminated",
	"Client.InvalidSnapshot.NotFound":     "the snapshot of one of its disks does not exist",
	"Client.VolumeLimitExceeded":          "the account's limit of EBS volumes is reached",
	"Server.InsufficientInstanceCapacity": "AWS has no room for this instance_type; try another, or another subnet_id",
	"Server.InternalError":                "AWS had an internal error; bake again",
	"Server.ScheduledStop":                "AWS had scheduled it to be stopped; bake again",
	"Server.SpotInstanceShutdown":         "its spot request was limited or its price exceeded",
	"Server.SpotInstanceTermination":      "its spot request was ended, for price or capacity",
}
