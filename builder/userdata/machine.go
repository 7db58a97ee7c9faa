// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// machine is what is known of the instance that bakes.
type machine struct {
	attempt  int // 1, or 2 for the one after AWS took the first one back
	id       string
	launched time.Time
	offer    offer
	request  string    // the id of its spot request
	refused  int       // how many offers AWS had no room for
	unclear  bool      // the answer to the launch was lost
	asked    time.Time // when it was last asked whether AWS is about to take the machine back
	taken    string    // why it is

	state   types.InstanceStateName
	reason  types.StateReason
	volumes map[string]string // volume ids by device name

	console   []byte         // the newest text
	reports   []guest.Report // all that were ever seen, in order; the console keeps the last 64 KB only
	plainOnly bool           // not a Nitro machine: its newest console text cannot be had
	silent    error          // why the console cannot be read at all
	unheard   error          // why it could not be read the last time
	live      *liveLog       // what it printed

	pulse pulse // of looking at it
}

// visibleTimeout is how long AWS may not know what it has just made.
const visibleTimeout = 2 * time.Minute

// look brings the machine's state up to date. AWS being slow, throttled or out of order is no error: the machine bakes
// on, and is looked at again.
func (b *bake) look(ctx context.Context, m *machine) error {
	wait := ctx
	ctx, cancel := glance(ctx)
	defer cancel()
	out, err := b.aws.ec2.DescribeInstances(ctx, m.self(), m.pulse.once)
	m.pulse.heard(wait, err)
	switch {
	case hasCode(err, codeInstanceNotFound) && time.Since(m.launched) < visibleTimeout, transient(err):
		return nil
	case err != nil:
		return fmt.Errorf("look at instance %s: %w", m.id, err)
	}
	found := false
	for _, r := range out.Reservations {
		for i := range r.Instances {
			m.take(&r.Instances[i])
			found = true
		}
	}
	if !found && time.Since(m.launched) >= visibleTimeout {
		return fmt.Errorf("look at instance %s: %w", m.id, errNoInstance)
	}
	return nil
}

// errNoInstance says that EC2 has forgotten an instance, which it does an hour after its end.
var errNoInstance = errors.New("EC2 knows no such instance")

// self asks for the machine by a filter: to EC2, one that is asked for by its id is not filtered, and twice as many of such
// calls are allowed as of those. https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
func (m *machine) self() *ec2.DescribeInstancesInput {
	return &ec2.DescribeInstancesInput{Filters: []types.Filter{filter("instance-id", m.id)}}
}

func (m *machine) take(i *types.Instance) {
	if i.State != nil {
		m.state = i.State.Name
	}
	if i.StateReason != nil {
		m.reason = *i.StateReason
	}
	for _, d := range i.BlockDeviceMappings {
		if d.Ebs != nil && d.Ebs.VolumeId != nil {
			if m.volumes == nil {
				m.volumes = map[string]string{}
			}
			m.volumes[aws.ToString(d.DeviceName)] = *d.Ebs.VolumeId
		}
	}
}

// readConsole reads the console and returns the reports that are new. An account that may not read it is told once.
func (b *bake) readConsole(ctx context.Context) []guest.Report {
	m := b.machine
	if m.silent != nil {
		return nil
	}
	text, err := b.consoleText(ctx, !m.plainOnly)
	if ctx.Err() == nil {
		m.unheard = err
	}
	switch {
	case hasCode(err, codeUnsupported) && !m.plainOnly:
		m.plainOnly = true
		return b.readConsole(ctx)
	case err != nil && !transient(err) && ctx.Err() == nil && !hasCode(err, codeInstanceNotFound):
		m.silent = err
		b.warn("the console of %s cannot be read, so its progress cannot be shown: %s", m.id, err)
	}
	if err != nil || len(text) == 0 {
		return nil
	}
	m.console = text
	b.live().add(b.live().unsealer.Read(text))
	return m.note(guest.ReadReports(text, b.id))
}

// consoleText is the newest text of the console on Nitro machines, or what EC2 has kept of it.
func (b *bake) consoleText(ctx context.Context, latest bool) ([]byte, error) {
	in := &ec2.GetConsoleOutputInput{InstanceId: aws.String(b.machine.id)}
	if latest {
		in.Latest = aws.Bool(true)
	}
	ctx, cancel := glance(ctx)
	defer cancel()
	out, err := b.aws.ec2.GetConsoleOutput(ctx, in, b.machine.pulse.once)
	if err != nil {
		return nil, fmt.Errorf("read the console: %w", err)
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	if err != nil {
		return nil, fmt.Errorf("decode the console's text: %w", err)
	}
	return text, nil
}

// note adds the reports that were not seen before and returns them.
func (m *machine) note(reports []guest.Report) []guest.Report {
	seen := make(map[int]bool, len(m.reports))
	for _, r := range m.reports {
		seen[r.Seq] = true
	}
	var fresh []guest.Report
	for _, r := range reports {
		if !seen[r.Seq] {
			if guest.MayBeCut(r) {
				r.Text = blotEnd(r.Text)
			}
			fresh = append(fresh, r)
		}
	}
	m.reports = sortReports(append(m.reports, fresh...))
	return fresh
}

// terminateTimeout is how long a machine may take to be gone. A running one is given up to a minute to shut down.
const terminateTimeout = 5 * time.Minute

// removeMachine terminates the instance and waits until it is gone, so that its network interface does not keep the
// security group, and it does not write its log after that was removed. A spot request goes first: EC2 answers the
// end of its machine with another one.
func (b *bake) removeMachine(ctx context.Context, m *machine) error {
	if m.id == "" {
		if err := b.findMachine(ctx, m); err != nil {
			return err
		}
	}
	if m.offer.spot {
		if err := b.cancelRequests(ctx, m); err != nil {
			return fmt.Errorf("%w; it is not terminated before, because EC2 would launch it again", err)
		}
	}
	if m.id == "" {
		return nil
	}
	_ = b.look(ctx, m) // for its volumes; that they are not known is no reason to leave the machine
	err := retryWhile(ctx, visibleTimeout, notYet(m.launched, codeInstanceNotFound), func(ctx context.Context) error {
		_, err := b.aws.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{m.id}})
		return err
	})
	if hasCode(err, codeInstanceNotFound) {
		return nil
	}
	if err != nil && !b.ends(ctx, m) {
		return b.withVolumes(fmt.Errorf("terminate %s: %w", m.id, err), m)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, terminateTimeout,
		fmt.Errorf("%s is not terminated after %s", m.id, terminateTimeout))
	defer cancel()
	err = poll(ctx, m.pulse.stretch(share(time.Now(), fifth, defaultInterval)), func(ctx context.Context) (bool, error) {
		if err := b.look(ctx, m); err != nil {
			if errors.Is(err, errNoInstance) {
				return true, nil
			}
			return true, orGone(err, codeInstanceNotFound)
		}
		return m.state == types.InstanceStateNameTerminated, nil
	})
	if err != nil && ctx.Err() != nil {
		err = m.pulse.lastly(err)
	}
	return errors.Join(err, b.removeVolumes(ctx, m))
}

// ends tells whether a machine is going although the call that terminates it has failed.
func (b *bake) ends(ctx context.Context, m *machine) bool {
	err := b.look(ctx, m)
	return err == nil && m.pulse.unanswered == nil &&
		(m.state == types.InstanceStateNameShuttingDown || m.state == types.InstanceStateNameTerminated)
}

// withVolumes says what stays with a machine, and would stay even if somebody else terminated it.
func (b *bake) withVolumes(err error, m *machine) error {
	if ids := b.outliving(m); len(ids) > 0 {
		return fmt.Errorf("%w; volumes that outlive it stay as well: %s", err, strings.Join(ids, ", "))
	}
	return err
}

// foundTimeout is how long EC2 may take to find by its tags what it has just made.
const foundTimeout = 30 * time.Second

// findMachine looks for the instance of a launch. When its answer was lost, EC2 may not find it at once.
func (b *bake) findMachine(ctx context.Context, m *machine) error {
	end := time.Now()
	if m.unclear {
		end = end.Add(foundTimeout)
	}
	return poll(ctx, every(2*time.Second), func(ctx context.Context) (bool, error) {
		out, err := b.aws.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: b.byTags(m)})
		if err != nil {
			return true, fmt.Errorf("look for an instance of bake %s: %w", b.id, err)
		}
		for _, r := range out.Reservations {
			for i := range r.Instances {
				m.id = aws.ToString(r.Instances[i].InstanceId)
				m.request = aws.ToString(r.Instances[i].SpotInstanceRequestId)
			}
		}
		return m.id != "" || !time.Now().Before(end), nil
	})
}

// removeVolumes deletes the volumes that the source image says are to outlive the machine, and the template does not.
func (b *bake) removeVolumes(ctx context.Context, m *machine) error {
	var errs []error
	if devices := b.unseenDevices(m); len(devices) > 0 {
		errs = append(errs, fmt.Errorf("the volumes of %s outlive it, and EC2 did not say which they are; they have the tag %s of %s",
			strings.Join(devices, ", "), tagBake, b.id))
	}
	for _, id := range b.outliving(m) {
		inUse := func(err error) bool { return hasCode(err, codeVolumeInUse) }
		err := retryWhile(ctx, time.Minute, inUse, func(ctx context.Context) error {
			_, err := b.aws.ec2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(id)})
			return orGone(err, codeVolumeNotFound)
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("delete volume %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// outliving are the volumes that removeVolumes deletes.
func (b *bake) outliving(m *machine) []string {
	var ids []string
	for _, device := range b.outlivingDevices() {
		if id, there := m.volumes[device]; there {
			ids = append(ids, id)
		}
	}
	return ids
}

// unseenDevices are those whose volumes would have to be deleted and are not known, because the machine was never seen.
func (b *bake) unseenDevices(m *machine) []string {
	if m.volumes != nil {
		return nil
	}
	return b.outlivingDevices()
}

func (b *bake) outlivingDevices() []string {
	var devices []string
	for _, d := range b.source.BlockDeviceMappings {
		device := aws.ToString(d.DeviceName)
		if d.Ebs != nil && d.Ebs.DeleteOnTermination != nil && !*d.Ebs.DeleteOnTermination && !b.config.hasDevice(device) {
			devices = append(devices, device)
		}
	}
	return devices
}

// hasDevice tells whether the template says itself what becomes of a disk.
func (c *RunConfig) hasDevice(name string) bool {
	for i := range c.LaunchBlockDevices {
		if c.LaunchBlockDevices[i].DeviceName == name {
			return true
		}
	}
	return false
}
