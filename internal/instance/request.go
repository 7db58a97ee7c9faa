// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/network"
)

// request returns what RunInstances takes.
func (l *Launcher) request(
	m *Instance, spec Spec, o launchOption, userData []byte,
) (*ec2.RunInstancesInput, error) {
	tags, err := l.Settings.Tags(l.Bake, l.Render, m.attempt)
	if err != nil {
		return nil, err
	}
	c := l.Settings.Run
	m.tokens = append(m.tokens, m.clientToken())
	in := &ec2.RunInstancesInput{
		ClientToken:                       aws.String(m.clientToken()),
		ImageId:                           spec.Image.ImageId,
		InstanceType:                      types.InstanceType(o.instanceType),
		MinCount:                          aws.Int32(1),
		MaxCount:                          aws.Int32(1),
		UserData:                          aws.String(base64.StdEncoding.EncodeToString(userData)),
		KeyName:                           awscall.NonZeroPtr(c.KeyName),
		EbsOptimized:                      awscall.NonZeroPtr(c.EbsOptimized),
		IamInstanceProfile:                profileRequest(spec.InstanceProfile),
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorStop,
		MetadataOptions:                   c.Metadata.request(),
		Placement:                         l.Settings.Placement.request(l.Zone),
		TagSpecifications: []types.TagSpecification{
			awscall.TagSpec(types.ResourceTypeInstance, tags.Machine),
			awscall.TagSpec(types.ResourceTypeVolume, tags.Volumes),
			awscall.TagSpec(types.ResourceTypeNetworkInterface, tags.Machine),
		},
	}
	for i := range c.LaunchBlockDevices {
		in.BlockDeviceMappings = append(in.BlockDeviceMappings, c.LaunchBlockDevices[i].Mapping())
	}
	if credits := c.credits(o.instanceType); credits != "" {
		in.CreditSpecification = &types.CreditSpecificationRequest{CpuCredits: aws.String(credits)}
	}
	l.Settings.Placement.setReservations(in, o.spot)
	setNetwork(in, l.PublicIP, o.subnet.ID, spec.Network)
	if o.spot {
		in.InstanceMarketOptions = l.Settings.Spot.request(l.Bake.Expiry())
		in.TagSpecifications = append(in.TagSpecifications,
			awscall.TagSpec(types.ResourceTypeSpotInstancesRequest, tags.SpotRequest))
	}
	return in, nil
}

// clientToken returns what makes RunInstances safe to call again when its answer is lost. Another attempt, and another
// launch after AWS had no capacity, has another token: EC2 takes a token for one and the same call only.
func (m *Instance) clientToken() string {
	if m.attempt <= 1 && m.refused == 0 {
		return m.bake.ID
	}
	return fmt.Sprintf("%s-%d-%d", m.bake.ID, m.attempt, m.refused)
}

// setNetwork sets how the machine is attached to the network. A public address can only be asked for with an interface,
// and then the subnet and the groups are the interface's.
func setNetwork(in *ec2.RunInstancesInput, publicIP *bool, subnet string, n network.Network) {
	if publicIP == nil {
		in.SubnetId = awscall.NonZeroPtr(subnet)
		in.SecurityGroupIds = n.Groups
		return
	}
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
		DeviceIndex:              aws.Int32(0),
		AssociatePublicIpAddress: publicIP,
		DeleteOnTermination:      aws.Bool(true),
		SubnetId:                 awscall.NonZeroPtr(subnet),
		Groups:                   n.Groups,
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

// profileRequest takes a name, as amazon-ebs does, or an ARN.
func profileRequest(name string) *types.IamInstanceProfileSpecification {
	switch {
	case name == "":
		return nil
	case strings.HasPrefix(name, "arn:"):
		return &types.IamInstanceProfileSpecification{Arn: aws.String(name)}
	}
	return &types.IamInstanceProfileSpecification{Name: aws.String(name)}
}
