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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// terminateTimeout is how long a machine may take to be gone. A running one is given up to a minute to shut down.
const terminateTimeout = 5 * time.Minute

// terminateFraction is the fraction (1/n) of a termination that may be lost by looking late: nobody waits for it to use
// what was made.
const terminateFraction = 5

// terminate terminates the machine and waits until it is gone, so that its network interface does not keep the security
// group, and it does not write its log after that was removed. A spot request goes first: EC2 answers the end of its
// machine with another machine.
func (m *Instance) terminate(ctx context.Context) error {
	if m.ID == "" {
		if err := m.find(ctx); err != nil {
			return err
		}
	}
	if m.option.spot {
		if err := m.cancelSpotRequests(ctx); err != nil {
			return fmt.Errorf("%w; it is not terminated before, because EC2 would launch it again", err)
		}
	}
	if m.ID == "" {
		return nil
	}
	_ = m.refresh(ctx) // for its volumes; that they are not known is no reason to leave the machine
	notVisibleYet := awscall.NotVisibleYet(m.Launched, awscall.CodeInstanceNotFound)
	err := awscall.RetryWhile(ctx, awscall.VisibleTimeout, notVisibleYet, func(ctx context.Context) error {
		_, err := m.api.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{m.ID}})
		return err
	})
	if awscall.HasCode(err, awscall.CodeInstanceNotFound) {
		return nil
	}
	if err != nil && !m.isTerminating(ctx) {
		return m.withVolumes(fmt.Errorf("terminate %s: %w", m.ID, err))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, terminateTimeout,
		fmt.Errorf("%s is not terminated after %s", m.ID, terminateTimeout))
	defer cancel()
	err = m.awaitTermination(ctx)
	return errors.Join(err, m.deleteVolumes(ctx))
}

func (m *Instance) awaitTermination(ctx context.Context) error {
	interval := awscall.FractionOfWait(time.Now(), terminateFraction, setting.DefaultInterval)
	err := awscall.Poll(ctx, m.guard.Backoff(interval), func(ctx context.Context) (bool, error) {
		if err := m.refresh(ctx); err != nil {
			if errors.Is(err, errUnknownInstance) {
				return true, nil
			}
			return true, awscall.IgnoreNotFound(err, awscall.CodeInstanceNotFound)
		}
		return m.state == types.InstanceStateNameTerminated, nil
	})
	if err != nil && ctx.Err() != nil {
		err = m.guard.Annotate(err)
	}
	return err
}

// isTerminating reports whether the machine is going although the call that terminates it has failed.
func (m *Instance) isTerminating(ctx context.Context) bool {
	err := m.refresh(ctx)
	return err == nil && m.guard.Unanswered == nil &&
		(m.state == types.InstanceStateNameShuttingDown || m.state == types.InstanceStateNameTerminated)
}

// withVolumes adds to an error what stays with the machine, and would stay even if somebody else terminated it.
func (m *Instance) withVolumes(err error) error {
	if ids := m.outlivingVolumes(); len(ids) > 0 {
		return fmt.Errorf("%w; volumes that outlive it stay as well: %s", err, strings.Join(ids, ", "))
	}
	return err
}

// findTimeout is how long EC2 may take to find by its tags what it has just made.
const findTimeout = 30 * time.Second

// find looks for the instance of a launch by its tags. When the answer to the launch was lost, EC2 may not find it at
// once.
func (m *Instance) find(ctx context.Context) error {
	end := time.Now()
	if m.maybeMade {
		end = end.Add(findTimeout)
	}
	return awscall.Poll(ctx, awscall.Every(awscall.RetryPause), func(ctx context.Context) (bool, error) {
		out, err := m.api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: m.filters()})
		if err != nil {
			return true, fmt.Errorf("look for an instance of bake %s: %w", m.bake.ID, err)
		}
		var found []types.Instance
		for _, r := range out.Reservations {
			others := func(i types.Instance) bool { return !m.mayBe(&i) }
			found = append(found, slices.DeleteFunc(r.Instances, others)...)
		}
		if len(found) > 1 {
			return true, fmt.Errorf("%d instances have the tag %s of %s, and nothing says which of them this bake has "+
				"launched: none is terminated", len(found), bake.TagBake, m.bake.ID)
		}
		for i := range found {
			m.ID = aws.ToString(found[i].InstanceId)
			m.spotRequest = aws.ToString(found[i].SpotInstanceRequestId)
		}
		return m.ID != "" || !time.Now().Before(end), nil
	})
}

// mayBe reports whether an instance with the bake's tags is the machine, which nothing else is known of. Others have
// copied the tags, or are the machines of the bake's other attempts. EC2 need not tell the client token of a Spot
// Instance.
func (m *Instance) mayBe(i *types.Instance) bool {
	token := aws.ToString(i.ClientToken)
	if token == "" {
		return m.option.spot && aws.ToString(i.SpotInstanceRequestId) != "" && m.isOfAttempt(i.Tags)
	}
	return slices.Contains(m.tokens, token)
}

// deleteVolumes deletes the volumes that the source image lets outlive the machine, and the template
// does not.
func (m *Instance) deleteVolumes(ctx context.Context) error {
	var errs []error
	if m.volumes == nil && len(m.outlivingDevices) > 0 { // the machine was never seen
		errs = append(errs, fmt.Errorf("the volumes of %s outlive it, and EC2 did not say which they "+
			"are; they have the tag %s of %s",
			strings.Join(m.outlivingDevices, ", "), bake.TagBake, m.bake.ID))
	}
	for _, id := range m.outlivingVolumes() {
		var attempt awscall.Attempt
		notVisibleYet := attempt.UnlessApplied(awscall.NotVisibleYet(m.Launched, awscall.CodeVolumeNotFound))
		again := func(err error) bool { return awscall.HasCode(err, awscall.CodeVolumeInUse) || notVisibleYet(err) }
		err := awscall.RetryWhile(ctx, time.Minute, again, func(ctx context.Context) error {
			_, err := m.api.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(id)}, attempt.Track)
			return err
		})
		if awscall.IgnoreNotFound(err, awscall.CodeVolumeNotFound) != nil {
			errs = append(errs, fmt.Errorf("delete volume %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// outlivingVolumes returns the volumes that deleteVolumes deletes, as far as they are known.
func (m *Instance) outlivingVolumes() []string {
	var ids []string
	for _, device := range m.outlivingDevices {
		if id, ok := m.volumes[device]; ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// terminateCommands returns the commands with which a person removes the machine and what goes with it.
func (m *Instance) terminateCommands() []string {
	cli := m.bake.CLI
	var all []string
	switch {
	case m.spotRequest != "":
		all = append(all, cli.Command("ec2 cancel-spot-instance-requests --spot-instance-request-ids %s",
			m.spotRequest))
	case m.option.spot:
		all = append(all, cli.Command("ec2 describe-spot-instance-requests --filters Name=tag:%s,Values=%s",
			bake.TagBake, m.bake.ID))
	}
	if m.ID == "" {
		return append(all, cli.Command("ec2 describe-instances --filters Name=tag:%s,Values=%s", bake.TagBake,
			m.bake.ID))
	}
	all = append(all, cli.Command("ec2 terminate-instances --instance-ids %s", m.ID),
		cli.Command("ec2 wait instance-terminated --instance-ids %s", m.ID))
	for _, id := range m.outlivingVolumes() {
		all = append(all, cli.Command("ec2 delete-volume --volume-id %s", id))
	}
	return all
}

// ReportHowToInspect says how a person looks at a machine that was left, and how to keep it from the sweep.
func (m *Instance) ReportHowToInspect() {
	b := m.bake
	if m.state == types.InstanceStateNameTerminated || m.state == types.InstanceStateNameShuttingDown {
		return
	}
	ids := []string{m.ID}
	for _, id := range m.volumes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	b.Say("The machine's log: %s",
		b.CLI.Command("ec2 get-console-output --latest --output text --instance-id %s", m.ID))
	b.Say("The sweep of a later bake removes it all once it has expired, after %s. To keep the machine longer: %s",
		b.Expiry().Add(bake.SweepMargin).Format(time.RFC3339),
		b.CLI.Command("ec2 delete-tags --tags Key=%s --resources %s", bake.TagExpires, strings.Join(ids, " ")))
}
