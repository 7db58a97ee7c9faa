// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
)

// stepLaunch assembles the user data and runs the machine with it. URLs are signed here and not before, so that they last
// for the machine's whole time.
type stepLaunch struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepLaunch) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	action := step(ctx, state, phaseStage, launch)
	if action == multistep.ActionContinue {
		b := unpack(state)
		b.phases.enter(phaseMachine)
		state.Put("instance_id", b.machine.id) // Packer's build.ID
	}
	return action
}

func launch(ctx context.Context, b *bake) error {
	userData, err := b.userData(ctx)
	if err != nil {
		return err
	}
	in, err := b.runInput(userData)
	if err != nil {
		return err
	}
	b.say("Launching a %s...", b.config.InstanceType)
	b.phases.enter(phaseMachine)
	e := b.ledger.add("instance of bake "+b.id, b.removeMachine)
	own, cancel := settle(ctx)
	defer cancel()
	b.machine.launched = time.Now()
	out, err := b.aws.ec2.RunInstances(own, in)
	if err != nil {
		return fmt.Errorf("run the machine: %w", err)
	}
	if len(out.Instances) == 0 {
		return fmt.Errorf("run the machine: EC2 answered without an instance")
	}
	b.machine.id = aws.ToString(out.Instances[0].InstanceId)
	e.what = "instance " + b.machine.id
	b.say("Instance %s bakes as %s", b.machine.id, b.id)
	return nil
}

// runInput is what RunInstances takes. Its client token makes it safe to call again when the answer is lost.
func (b *bake) runInput(userData []byte) (*ec2.RunInstancesInput, error) {
	machine, volumes, err := b.machineTags()
	if err != nil {
		return nil, err
	}
	c := b.config
	in := &ec2.RunInstancesInput{
		ClientToken:                       aws.String(b.id),
		ImageId:                           b.source.ImageId,
		InstanceType:                      types.InstanceType(c.InstanceType),
		MinCount:                          aws.Int32(1),
		MaxCount:                          aws.Int32(1),
		UserData:                          aws.String(base64.StdEncoding.EncodeToString(userData)),
		KeyName:                           some(c.KeyName),
		IamInstanceProfile:                instanceProfile(c.IamInstanceProfile),
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorStop,
		MetadataOptions:                   c.Metadata.request(),
		TagSpecifications: []types.TagSpecification{
			tagSpec(types.ResourceTypeInstance, machine), tagSpec(types.ResourceTypeVolume, volumes),
		},
	}
	if c.AvailabilityZone != "" {
		in.Placement = &types.Placement{AvailabilityZone: aws.String(c.AvailabilityZone)}
	}
	for i := range c.LaunchBlockDevices {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, c.LaunchBlockDevices[i].mapping())
	}
	b.attach(in)
	return in, nil
}

// attach says where the machine is attached to the network. Whether it has a public address can only be said of an
// interface, and then the subnet and the groups are the interface's.
func (b *bake) attach(in *ec2.RunInstancesInput) {
	public := b.config.AssociatePublicIPAddress.ToBoolPointer()
	if public == nil {
		in.SubnetId = some(b.network.subnet)
		in.SecurityGroupIds = b.network.groups
		return
	}
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
		DeviceIndex:              aws.Int32(0),
		AssociatePublicIpAddress: public,
		DeleteOnTermination:      aws.Bool(true),
		SubnetId:                 some(b.network.subnet),
		Groups:                   b.network.groups,
	}}
}

func (m *MetadataOptions) request() *types.InstanceMetadataOptionsRequest {
	return &types.InstanceMetadataOptionsRequest{
		HttpEndpoint:            types.InstanceMetadataEndpointState(m.HTTPEndpoint),
		HttpTokens:              types.HttpTokensState(m.HTTPTokens),
		HttpPutResponseHopLimit: aws.Int32(m.HTTPPutResponseHopLimit),
		InstanceMetadataTags:    types.InstanceMetadataTagsState(m.InstanceMetadataTags),
	}
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
