// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package instance launches a machine, watches it, judges what it reports about its own work, and terminates it. A bake
// has one, and so has whoever tests an image.
//
// It knows EC2's instances, volumes and spot requests. It may not know what the user data does, where it comes from, or
// what becomes of the machine's disk afterwards.
package instance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
	"github.com/amibakery/packer-plugin-bakery/internal/machinelog"
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// Instance is what is known of a machine that was launched, or may have been.
type Instance struct {
	ID       string // "" while EC2 has not told it
	Launched time.Time
	Log      *machinelog.Log

	bake *bake.Bake
	api  *awscall.EC2

	attempt     int          // 1 for the bake's first machine
	option      launchOption // as which it was launched last
	hypervisors Hypervisors
	spotRequest string   // the id of its spot request
	refused     int      // how many launches AWS had no capacity for
	tokens      []string // that it was launched with
	maybeMade   bool     // the answer to a launch was lost

	state            types.InstanceStateName
	reason           types.StateReason
	volumes          map[string]string // volume ids by device name; nil while EC2 has not shown the machine
	outlivingDevices []string          // whose volumes have to be deleted after the machine
	volumesTagged    bool              // those have the tag with their ids
	subnet           string            // its id
	publicAddress    string            // "" for none

	timeoutAnnounced bool // the user knows that instance_timeout is nearly over

	console      consoleReader
	guard        awscall.ThrottleGuard // of looking at it
	checked      time.Time             // when it was last asked whether AWS is about to take the machine back
	interruption string                // why it is
}

// refresh reads the machine's state. It returns nil when AWS is slow, throttles or is out of order: the machine works
// on, and is looked at again.
func (m *Instance) refresh(ctx context.Context) error {
	wait := ctx
	ctx, cancel := awscall.WithCallTimeout(ctx)
	defer cancel()
	// By a filter: to EC2, a call that asks for an id is not filtered, and twice as many of such calls are allowed as
	// of those that list. https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
	in := &ec2.DescribeInstancesInput{Filters: []types.Filter{awscall.Filter("instance-id", m.ID)}}
	out, err := m.api.DescribeInstances(ctx, in, m.guard.RetryOnce)
	m.guard.Observe(wait, err)
	isNew := time.Since(m.Launched) < awscall.VisibleTimeout
	switch {
	case awscall.HasCode(err, awscall.CodeInstanceNotFound) && isNew, awscall.IsTransient(err):
		return nil
	case err != nil:
		return fmt.Errorf("look at instance %s: %w", m.ID, err)
	}
	found := false
	for _, r := range out.Reservations {
		for i := range r.Instances {
			m.update(&r.Instances[i])
			found = true
		}
	}
	if !found && time.Since(m.Launched) >= awscall.VisibleTimeout {
		return fmt.Errorf("look at instance %s: %w", m.ID, errUnknownInstance)
	}
	return nil
}

// errUnknownInstance says that EC2 has forgotten an instance, which it does an hour after its end.
var errUnknownInstance = errors.New("EC2 knows no such instance")

func (m *Instance) update(i *types.Instance) {
	if i.State != nil {
		m.state = i.State.Name
	}
	if i.StateReason != nil {
		m.reason = *i.StateReason
	}
	m.subnet = cmp.Or(aws.ToString(i.SubnetId), m.subnet)
	// A stopped machine has lost its address.
	m.publicAddress = cmp.Or(aws.ToString(i.PublicIpAddress), m.publicAddress)
	if len(m.volumes) > 0 { // what is attached later is not the machine's
		return
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

// tagVolumes gives the volumes that outlive the machine the tag with their own ids, once EC2 has shown them: without
// it, a sweep keeps them. The others go with the machine.
func (m *Instance) tagVolumes(ctx context.Context) {
	if ids := m.outlivingVolumes(); len(ids) > 0 && !m.volumesTagged {
		m.volumesTagged = true
		ownership.Tag(ctx, m.bake, m.api, ids...)
	}
}

// outlivingDevices returns the disks that the source image lets outlive the machine, and the template
// does not.
func outlivingDevices(source *types.Image, devices []blockdevice.BlockDevice) []string {
	var names []string
	for _, d := range source.BlockDeviceMappings {
		name := aws.ToString(d.DeviceName)
		outlives := d.Ebs != nil && d.Ebs.DeleteOnTermination != nil && !*d.Ebs.DeleteOnTermination
		if outlives && !blockdevice.Has(devices, name) {
			names = append(names, name)
		}
	}
	return names
}

// stateTimeout is how long EC2 may take to notice everywhere that a machine has stopped.
const stateTimeout = 2 * time.Minute

// SetEnhancedNetworking marks the stopped machine as able to use enhanced networking, or as not able to; its image
// takes that over. EC2 changes one attribute in a call.
func (m *Instance) SetEnhancedNetworking(ctx context.Context, ena *bool, sriov bool) error {
	var changes []*ec2.ModifyInstanceAttributeInput
	if sriov {
		changes = append(changes, &ec2.ModifyInstanceAttributeInput{
			SriovNetSupport: &types.AttributeValue{Value: aws.String("simple")}, // the one value there is
		})
	}
	if ena != nil {
		changes = append(changes,
			&ec2.ModifyInstanceAttributeInput{EnaSupport: &types.AttributeBooleanValue{Value: ena}})
	}
	notVisibleYet := awscall.NotVisibleYet(m.Launched, awscall.CodeInstanceNotFound)
	again := func(err error) bool { return awscall.IsWrongState(err) && m.MayStop(ctx) || notVisibleYet(err) }
	for _, in := range changes {
		in.InstanceId = aws.String(m.ID)
		err := awscall.RetryWhile(ctx, stateTimeout, again, func(ctx context.Context) error {
			_, err := m.api.ModifyInstanceAttribute(ctx, in)
			return err
		})
		if err != nil {
			return fmt.Errorf("set ena_support or sriov_support of %s: %w", m.ID, err)
		}
	}
	return nil
}

// MayStop reports whether the machine has stopped, or may soon: nobody has started or terminated it meanwhile.
func (m *Instance) MayStop(ctx context.Context) bool {
	_ = m.refresh(ctx) // the call that is made again says more
	return m.state == types.InstanceStateNameStopping || m.state == types.InstanceStateNameStopped
}
