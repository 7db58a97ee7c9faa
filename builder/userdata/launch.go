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
)

// launch assembles the user data and runs the machine with it, as the first of the offers that AWS has room for. It
// returns the machine's place in the ledger. URLs are signed here and not before, so that they last for the machine's
// whole time.
func (b *bake) launch(ctx context.Context, offers []offer) (*entry, error) {
	userData, err := b.userData(ctx)
	if err != nil {
		return nil, err
	}
	b.phases.enter(phaseMachine)
	m := b.machine
	made := b.ledger.add("instance of bake "+b.id, func(ctx context.Context) error { return b.removeMachine(ctx, m) }).
		by(func() []string { return b.endMachine(m) })
	for i, o := range offers {
		b.say("Launching %s...", o)
		m.offer.instanceType, m.offer.site = o.instanceType, o.site
		m.offer.spot = m.offer.spot || o.spot // a request that AWS had no room for may be open still
		in, err := b.runInput(o, userData)
		if err != nil {
			return made, err
		}
		err = b.runInstance(ctx, in, i < len(offers)-1)
		switch {
		case err == nil:
			made.what = "instance " + m.id
			if m.request != "" {
				made.what += " and its spot request " + m.request
			}
			b.say("Instance %s bakes as %s", m.id, b.id)
			return made, nil
		case hasCode(err, codeNoVPC):
			return made, fmt.Errorf("run the machine; the account has no default VPC in this region, so set subnet_id: %w", err)
		case !noRoom(err) || i == len(offers)-1 || ctx.Err() != nil:
			return made, fmt.Errorf("run the machine, %s: %w", o, err)
		}
		m.refused++
		b.say("AWS has no room for it: %s", err)
	}
	return made, nil
}

// profileDelay is how long EC2 may not know an instance profile that IAM has just made.
const profileDelay = 2 * time.Minute

// runInstance runs the machine. Where there are other offers, one that AWS has no room for is not tried again.
func (b *bake) runInstance(ctx context.Context, in *ec2.RunInstancesInput, others bool) error {
	hurry := func(o *ec2.Options) {
		o.Retryer = queuing{o.Retryer, b.machine}
		if others {
			o.Retryer = impatient{o.Retryer}
		}
	}
	groupUnknown := notYet(b.network.made, codeGroupNotFound, codeGroupNotFound2)
	again := func(err error) bool { return profileUnknown(err) || groupUnknown(err) }
	run := func(ctx context.Context) error {
		own, cancel := settle(ctx)
		defer cancel()
		b.machine.launched = time.Now()
		b.machine.asked = b.machine.launched
		out, err := b.aws.ec2.RunInstances(own, in, hurry)
		b.machine.unclear = b.machine.unclear || lost(err)
		switch {
		case err != nil:
			return err
		case len(out.Instances) == 0:
			return errors.New("EC2 answered without an instance")
		}
		b.machine.id = aws.ToString(out.Instances[0].InstanceId)
		b.machine.request = aws.ToString(out.Instances[0].SpotInstanceRequestId)
		return nil
	}
	return newQueue(b).wait(ctx, func(ctx context.Context) error { return retryWhile(ctx, profileDelay, again, run) })
}

// profileUnknown tells whether EC2 does not know the instance profile. IAM tells EC2 about a new one within seconds.
func profileUnknown(err error) bool {
	return hasCode(err, codeParameterValue) && strings.Contains(strings.ToLower(err.Error()), "iam instance profile")
}

// token makes RunInstances safe to call again when its answer is lost. Another attempt or offer has another token: EC2
// takes a token for one and the same call only.
func (b *bake) token() string {
	if b.machine.attempt <= 1 && b.machine.refused == 0 {
		return b.id
	}
	return fmt.Sprintf("%s-%d-%d", b.id, b.machine.attempt, b.machine.refused)
}

// runInput is what RunInstances takes.
func (b *bake) runInput(o offer, userData []byte) (*ec2.RunInstancesInput, error) {
	machine, volumes, err := b.machineTags()
	if err != nil {
		return nil, err
	}
	c := b.config
	in := &ec2.RunInstancesInput{
		ClientToken:                       aws.String(b.token()),
		ImageId:                           b.source.ImageId,
		InstanceType:                      types.InstanceType(o.instanceType),
		MinCount:                          aws.Int32(1),
		MaxCount:                          aws.Int32(1),
		UserData:                          aws.String(base64.StdEncoding.EncodeToString(userData)),
		KeyName:                           some(c.KeyName),
		EbsOptimized:                      some(c.EbsOptimized),
		IamInstanceProfile:                instanceProfile(b.profile),
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorStop,
		MetadataOptions:                   c.Metadata.request(),
		Placement:                         c.placement(c.AvailabilityZone),
		TagSpecifications: []types.TagSpecification{
			tagSpec(types.ResourceTypeInstance, machine), tagSpec(types.ResourceTypeVolume, volumes),
			tagSpec(types.ResourceTypeNetworkInterface, machine),
		},
	}
	for i := range c.LaunchBlockDevices {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, c.LaunchBlockDevices[i].mapping())
	}
	if credits := c.credits(o.instanceType); credits != "" {
		in.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: aws.String(credits)}
	}
	c.PlacementConfig.reserve(in, o.spot)
	b.attach(in, o.site.subnet)
	if o.spot {
		err = b.asSpot(in)
	}
	return in, err
}

func (b *bake) asSpot(in *ec2.RunInstancesInput) error {
	tags, err := b.requestTags()
	if err != nil {
		return err
	}
	in.InstanceMarketOptions = b.config.market(b.expiry())
	in.TagSpecifications = append(in.TagSpecifications, tagSpec(types.ResourceTypeSpotInstancesRequest, tags))
	return nil
}

// placement is where and on what hardware to run, or nil for wherever AWS likes.
func (c *PlacementConfig) placement(zone string) *types.Placement {
	p := types.Placement{
		AvailabilityZone:     some(zone),
		HostId:               some(c.Placement.HostID),
		HostResourceGroupArn: some(c.Placement.HostResourceGroupARN),
		Tenancy:              types.Tenancy(c.tenancy()),
	}
	if p == (types.Placement{}) {
		return nil
	}
	return &p
}

// reserve says what the machine counts against. Spot Instances use no reservations, and EC2 refuses to be told so.
func (c *PlacementConfig) reserve(in *ec2.RunInstancesInput, spot bool) {
	for i := range c.LicenseSpecifications {
		in.LicenseSpecifications = append(in.LicenseSpecifications, types.LicenseConfigurationRequest{
			LicenseConfigurationArn: aws.String(c.LicenseSpecifications[i].Request.LicenseConfigurationARN),
		})
	}
	if c.EnableNitroEnclave {
		in.EnclaveOptions = &types.EnclaveOptionsRequest{Enabled: aws.Bool(true)}
	}
	if spot {
		return
	}
	in.CapacityReservationSpecification = &types.CapacityReservationSpecification{
		CapacityReservationPreference: types.CapacityReservationPreference(c.CapacityReservationPreference),
	}
	if c.CapacityReservationID != "" || c.CapacityReservationGroupARN != "" {
		in.CapacityReservationSpecification.CapacityReservationTarget = &types.CapacityReservationTarget{
			CapacityReservationId:               some(c.CapacityReservationID),
			CapacityReservationResourceGroupArn: some(c.CapacityReservationGroupARN),
		}
	}
}

// attach says where the machine is attached to the network. Whether it has a public address can only be said of an
// interface, and then the subnet and the groups are the interface's.
func (b *bake) attach(in *ec2.RunInstancesInput, subnet string) {
	public := b.config.AssociatePublicIPAddress.ToBoolPointer()
	if public == nil {
		in.SubnetId = some(subnet)
		in.SecurityGroupIds = b.network.groups
		return
	}
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
		DeviceIndex:              aws.Int32(0),
		AssociatePublicIpAddress: public,
		DeleteOnTermination:      aws.Bool(true),
		SubnetId:                 some(subnet),
		Groups:                   b.network.groups,
	}}
}

func (m *MetadataOptions) request() *types.InstanceMetadataOptionsRequest {
	in := &types.InstanceMetadataOptionsRequest{
		HttpEndpoint:            types.InstanceMetadataEndpointState(m.HTTPEndpoint),
		HttpTokens:              types.HttpTokensState(m.HTTPTokens),
		HttpPutResponseHopLimit: aws.Int32(m.HTTPPutResponseHopLimit),
	}
	if m.InstanceMetadataTags == optionEnabled { // regions that do not have it refuse to be told that it is off
		in.InstanceMetadataTags = types.InstanceMetadataTagsStateEnabled
	}
	return in
}

// instanceProfile takes a name, as amazon-ebs does, or an ARN.
func instanceProfile(name string) *types.IamInstanceProfileSpecification {
	switch {
	case name == "":
		return nil
	case strings.HasPrefix(name, "arn:"):
		return &types.IamInstanceProfileSpecification{Arn: aws.String(name)}
	}
	return &types.IamInstanceProfileSpecification{Name: aws.String(name)}
}
