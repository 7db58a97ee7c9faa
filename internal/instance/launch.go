// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// launch launches the machine, as the first of the options that AWS has capacity for. It returns the machine's entry in
// the ledger.
func (l *Launcher) launch(
	ctx context.Context, m *Instance, spec Spec, userData []byte, options []launchOption,
) (*bake.Entry, error) {
	b := l.Bake
	b.Phases.Enter(bake.PhaseMachine)
	made := b.Ledger.Add("instance of bake "+b.ID, m.terminate, m.terminateCommands)
	for i, o := range options {
		b.Say("Launching %s...", o)
		m.option.instanceType, m.option.subnet = o.instanceType, o.subnet
		m.option.spot = m.option.spot || o.spot // a request that AWS had no capacity for may be open still
		in, err := l.request(m, spec, o, userData)
		if err != nil {
			return made, err
		}
		isLast := i == len(options)-1
		err = l.runInstances(ctx, m, in, spec.Network.GroupMade, !isLast)
		switch {
		case err == nil:
			made.What = "instance " + m.ID
			if m.spotRequest != "" {
				made.What += " and its spot request " + m.spotRequest
			}
			b.Say("Instance %s bakes as %s", m.ID, b.ID)
			return made, nil
		case awscall.HasCode(err, awscall.CodeNoVPC):
			return made, fmt.Errorf("run the machine; the account has no default VPC in this region, so set "+
				"subnet_id: %w", err)
		case !awscall.IsCapacityError(err) || isLast || ctx.Err() != nil:
			return made, fmt.Errorf("run the machine, %s: %w", o, err)
		}
		m.refused++
		b.Say("AWS has no room for it: %s", err)
	}
	return made, nil
}

// profileVisibleTimeout is how long EC2 may not know an instance profile that IAM has just made.
const profileVisibleTimeout = 2 * time.Minute

// runInstances makes the call. Where there are other options, one that AWS has no capacity for is not tried again.
func (l *Launcher) runInstances(
	ctx context.Context, m *Instance, in *ec2.RunInstancesInput, groupMade time.Time, hasOthers bool,
) error {
	retryer := func(o *ec2.Options) {
		o.Retryer = queuedRetryer{o.Retryer, m}
		if hasOthers {
			o.Retryer = failFastRetryer{o.Retryer}
		}
	}
	groupNotVisibleYet := awscall.NotVisibleYet(groupMade, awscall.CodeGroupNotFound, awscall.CodeGroupIDNotFound)
	again := func(err error) bool { return isUnknownProfile(err) || groupNotVisibleYet(err) }
	run := func(ctx context.Context) error {
		own, cancel := awscall.Uninterruptible(ctx)
		defer cancel()
		m.Launched = time.Now()
		m.Log.SetLaunched(m.Launched)
		m.checked = m.Launched
		out, err := l.EC2.RunInstances(own, in, retryer)
		m.maybeMade = m.maybeMade || awscall.MayHaveTakenEffect(err)
		switch {
		case err != nil:
			return err
		case len(out.Instances) == 0:
			return errors.New("EC2 answered without an instance")
		}
		m.ID = aws.ToString(out.Instances[0].InstanceId)
		m.spotRequest = aws.ToString(out.Instances[0].SpotInstanceRequestId)
		return nil
	}
	return newLaunchQueue(l).launch(ctx, func(ctx context.Context) error {
		return awscall.RetryWhile(ctx, profileVisibleTimeout, again, run)
	})
}

// isUnknownProfile reports whether EC2 does not know the instance profile. IAM tells EC2 about a new one within
// seconds.
func isUnknownProfile(err error) bool {
	return awscall.HasCode(err, awscall.CodeParameterValue) &&
		strings.Contains(strings.ToLower(err.Error()), "iam instance profile")
}

// failFastRetryer does not retry what another option may succeed with: to the SDK, missing capacity is a fault of AWS's
// that may pass.
type failFastRetryer struct{ aws.Retryer }

func (r failFastRetryer) IsErrorRetryable(err error) bool {
	return !awscall.IsCapacityError(err) && r.Retryer.IsErrorRetryable(err)
}
