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
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// launch launches the machine, as the first of the options that AWS has capacity for. While it has none for any of
// them, they are tried again. It returns the machine's entry in the ledger.
func (l *Launcher) launch(
	ctx context.Context, m *Instance, spec Spec, userData []byte, options []launchOption,
) (*bake.Entry, error) {
	b := l.Bake
	b.Phases.Enter(bake.PhaseMachine)
	made := b.Ledger.Add("instance of bake "+b.ID, m.terminate, m.terminateCommands)
	queue := newLaunchQueue(l)
	for round := 1; ; round++ {
		short, err := l.tryOptions(ctx, m, spec, userData, options, queue)
		switch {
		case m.ID != "":
			made.What = "instance " + m.ID
			if m.spotRequest != "" {
				made.What += " and its spot request " + m.spotRequest
			}
			b.Say("Instance %s bakes as %s", m.ID, b.ID)
			ownership.Tag(ctx, b, l.EC2, m.ID, m.spotRequest)
			return made, nil
		case len(short) == 0 || round >= l.MaxRetries || queue.isOver():
			return made, err
		}
		if err := l.awaitCapacity(ctx, round, len(short)); err != nil {
			return made, err
		}
		options = short
	}
}

// awaitCapacity waits until the next round of options, and says so.
func (l *Launcher) awaitCapacity(ctx context.Context, round, options int) error {
	what := "it"
	if options > 1 {
		what = "them"
	}
	// 2, 4, 8 and 16 seconds, and then 20
	pause := min(awscall.RetryPause<<min(round-1, 4), longestPause) //nolint:mnd // 32 seconds are over longestPause
	l.Bake.Say("Trying %s again in %s: %d of %d times", what, pause, round+1, l.MaxRetries)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pause):
		return nil
	}
}

// tryOptions launches the machine as the first of the options that AWS has capacity for. Otherwise, it returns those
// for which AWS may have it later, and what AWS said last.
func (l *Launcher) tryOptions(
	ctx context.Context, m *Instance, spec Spec, userData []byte, options []launchOption, queue *launchQueue,
) (short []launchOption, err error) {
	for _, o := range options {
		if m.maybeMade { // by a launch with another token
			l.Bake.Say("Looking for the machine of the launch that was not answered...")
			if err := m.find(ctx); err != nil || m.ID != "" {
				return nil, err
			}
		}
		l.Bake.Say("Launching %s...", o)
		m.option.instanceType, m.option.subnet = o.instanceType, o.subnet
		m.option.spot = m.option.spot || o.spot // a request that AWS had no capacity for may be open still
		in, requestErr := l.request(m, spec, o, userData)
		if requestErr != nil {
			return nil, requestErr
		}
		refusal := l.runInstances(ctx, m, in, &spec, queue)
		switch {
		case refusal == nil:
			return nil, nil
		case awscall.HasCode(refusal, awscall.CodeNoVPC):
			return nil, fmt.Errorf("run the machine; the account has no default VPC in this region, so set "+
				"subnet_id: %w", refusal)
		}
		err = fmt.Errorf("run the machine, %s: %w", o, refusal)
		if !awscall.IsCapacityError(err) || ctx.Err() != nil {
			return nil, err
		}
		m.refused++
		l.Bake.Say("Not launched: %s", refusal)
		if awscall.IsTemporaryCapacityError(err) {
			short = append(short, o)
		}
	}
	return short, err
}

const (
	// profileVisibleTimeout is how long EC2 may not know an instance profile that this bake has just made.
	profileVisibleTimeout = 2 * time.Minute
	// otherProfileVisibleTimeout is the same for the template's: it may be as new, but may also be misspelt.
	otherProfileVisibleTimeout = 30 * time.Second
)

// runInstances makes the call, in its turn.
func (l *Launcher) runInstances(
	ctx context.Context, m *Instance, in *ec2.RunInstancesInput, spec *Spec, queue *launchQueue,
) error {
	var last error // of the attempts that the SDK makes again
	retryer := func(o *ec2.Options) { o.Retryer = &queuedRetryer{Retryer: o.Retryer, machine: m, last: &last} }
	profileNotVisibleYet := l.profileNotVisibleYet(spec)
	groupNotVisibleYet := awscall.NotVisibleYet(spec.Network.GroupMade, awscall.CodeGroupNotFound,
		awscall.CodeGroupIDNotFound)
	again := func(err error) bool { return groupNotVisibleYet(err) || profileNotVisibleYet(err) }
	run := func(ctx context.Context) error {
		own, cancel := awscall.Uninterruptible(ctx)
		defer cancel()
		m.Launched = time.Now()
		m.Log.SetLaunched(m.Launched)
		m.checked = m.Launched
		last = nil
		out, err := l.EC2.RunInstances(own, in, retryer)
		m.maybeMade = m.maybeMade || awscall.MayHaveTakenEffect(err)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && last != nil:
			return last
		case err != nil:
			return err
		case len(out.Instances) == 0:
			return errors.New("EC2 answered without an instance")
		}
		m.ID = aws.ToString(out.Instances[0].InstanceId)
		m.spotRequest = aws.ToString(out.Instances[0].SpotInstanceRequestId)
		return nil
	}
	return queue.launch(ctx, func(ctx context.Context) error {
		return awscall.RetryWhile(ctx, profileVisibleTimeout, again, run)
	})
}

// profileNotVisibleYet returns a check of errors: whether EC2 does not know the instance profile, and may soon. It
// tells the user once.
func (l *Launcher) profileNotVisibleYet(spec *Spec) func(error) bool {
	began, limit, told := time.Now(), otherProfileVisibleTimeout, false
	if spec.ProfileIsNew {
		limit = profileVisibleTimeout
	}
	return func(err error) bool {
		hasNoRole := err != nil && strings.Contains(err.Error(), "no associated IAM Roles") // yet, if this bake made it
		if !isUnknownProfile(err) || hasNoRole && !spec.ProfileIsNew || time.Since(began) >= limit {
			return false
		}
		if !told {
			told = true
			l.Bake.Say("EC2 does not know the instance profile %s; asking again for %s, in case it is new",
				spec.InstanceProfile, limit)
		}
		return true
	}
}

// isUnknownProfile reports whether EC2 does not know the instance profile. IAM tells EC2 about a new one within
// seconds.
func isUnknownProfile(err error) bool {
	return awscall.HasCode(err, awscall.CodeParameterValue) &&
		strings.Contains(strings.ToLower(err.Error()), "iam instance profile")
}
