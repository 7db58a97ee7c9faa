// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
)

// What each concern of a bake asks of AWS. All of it together is what the bake's IAM policy has to allow.

// identityReader tells whose credentials these are. Satisfied by *sts.Client.
type identityReader interface {
	GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error)
}

// parameterReader reads the parameter of resolve:ssm:. Satisfied by *ssm.Client.
type parameterReader interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// imageReader finds images. Satisfied by *ec2.Client.
type imageReader interface {
	DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
}

// imageMaker makes images, of a machine, of another image, and of snapshots. Satisfied by *ec2.Client.
type imageMaker interface {
	CreateImage(context.Context, *ec2.CreateImageInput, ...func(*ec2.Options)) (*ec2.CreateImageOutput, error)
	CopyImage(context.Context, *ec2.CopyImageInput, ...func(*ec2.Options)) (*ec2.CopyImageOutput, error)
	RegisterImage(context.Context, *ec2.RegisterImageInput, ...func(*ec2.Options)) (*ec2.RegisterImageOutput, error)
}

// imageChanger says what EC2 is to know of an image, and who may use it. Satisfied by *ec2.Client.
type imageChanger interface {
	ModifyImageAttribute(context.Context, *ec2.ModifyImageAttributeInput, ...func(*ec2.Options)) (*ec2.ModifyImageAttributeOutput, error)
	ModifySnapshotAttribute(context.Context, *ec2.ModifySnapshotAttributeInput, ...func(*ec2.Options)) (*ec2.ModifySnapshotAttributeOutput, error)
	EnableImageDeprecation(context.Context, *ec2.EnableImageDeprecationInput, ...func(*ec2.Options)) (*ec2.EnableImageDeprecationOutput, error)
	EnableImageDeregistrationProtection(context.Context, *ec2.EnableImageDeregistrationProtectionInput, ...func(*ec2.Options)) (*ec2.EnableImageDeregistrationProtectionOutput, error)
}

// imageRemover removes images and what they are made of. Satisfied by *ec2.Client.
type imageRemover interface {
	DisableImageDeregistrationProtection(context.Context, *ec2.DisableImageDeregistrationProtectionInput, ...func(*ec2.Options)) (*ec2.DisableImageDeregistrationProtectionOutput, error)
	DeregisterImage(context.Context, *ec2.DeregisterImageInput, ...func(*ec2.Options)) (*ec2.DeregisterImageOutput, error)
	DescribeSnapshots(context.Context, *ec2.DescribeSnapshotsInput, ...func(*ec2.Options)) (*ec2.DescribeSnapshotsOutput, error)
	DeleteSnapshot(context.Context, *ec2.DeleteSnapshotInput, ...func(*ec2.Options)) (*ec2.DeleteSnapshotOutput, error)
}

// tagRemover takes tags off. Satisfied by *ec2.Client.
type tagRemover interface {
	DeleteTags(context.Context, *ec2.DeleteTagsInput, ...func(*ec2.Options)) (*ec2.DeleteTagsOutput, error)
}

// machineChanger changes a machine that has stopped. Satisfied by *ec2.Client.
type machineChanger interface {
	ModifyInstanceAttribute(context.Context, *ec2.ModifyInstanceAttributeInput, ...func(*ec2.Options)) (*ec2.ModifyInstanceAttributeOutput, error)
}

// regionReader knows the regions of the account. Satisfied by *ec2.Client.
type regionReader interface {
	DescribeRegions(context.Context, *ec2.DescribeRegionsInput, ...func(*ec2.Options)) (*ec2.DescribeRegionsOutput, error)
}

// typeReader knows what an instance type can do. Satisfied by *ec2.Client.
type typeReader interface {
	DescribeInstanceTypes(context.Context, *ec2.DescribeInstanceTypesInput, ...func(*ec2.Options)) (*ec2.DescribeInstanceTypesOutput, error)
}

// networkReader knows the account's network. Satisfied by *ec2.Client.
type networkReader interface {
	DescribeVpcs(context.Context, *ec2.DescribeVpcsInput, ...func(*ec2.Options)) (*ec2.DescribeVpcsOutput, error)
	DescribeSubnets(context.Context, *ec2.DescribeSubnetsInput, ...func(*ec2.Options)) (*ec2.DescribeSubnetsOutput, error)
	DescribeSecurityGroups(context.Context, *ec2.DescribeSecurityGroupsInput, ...func(*ec2.Options)) (*ec2.DescribeSecurityGroupsOutput, error)
}

// groupMaker makes and removes security groups. Satisfied by *ec2.Client.
type groupMaker interface {
	CreateSecurityGroup(context.Context, *ec2.CreateSecurityGroupInput, ...func(*ec2.Options)) (*ec2.CreateSecurityGroupOutput, error)
	DeleteSecurityGroup(context.Context, *ec2.DeleteSecurityGroupInput, ...func(*ec2.Options)) (*ec2.DeleteSecurityGroupOutput, error)
}

// machineRunner runs machines and removes them. Satisfied by *ec2.Client.
type machineRunner interface {
	RunInstances(context.Context, *ec2.RunInstancesInput, ...func(*ec2.Options)) (*ec2.RunInstancesOutput, error)
	TerminateInstances(context.Context, *ec2.TerminateInstancesInput, ...func(*ec2.Options)) (*ec2.TerminateInstancesOutput, error)
	DeleteVolume(context.Context, *ec2.DeleteVolumeInput, ...func(*ec2.Options)) (*ec2.DeleteVolumeOutput, error)
}

// machineReader looks at machines, without touching them. Satisfied by *ec2.Client.
type machineReader interface {
	DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
	GetConsoleOutput(context.Context, *ec2.GetConsoleOutputInput, ...func(*ec2.Options)) (*ec2.GetConsoleOutputOutput, error)
}

// imageAPI is what a bake asks of each region that is to have the image.
type imageAPI interface {
	imageReader
	imageMaker
	imageChanger
	imageRemover
	tagRemover
}

// ec2API is everything a bake asks of EC2.
type ec2API interface {
	imageAPI
	machineChanger
	regionReader
	typeReader
	networkReader
	groupMaker
	machineRunner
	machineReader
	spotAPI
	tagReader
}

// clients are the services of one account and region.
type clients struct {
	config aws.Config
	ec2    ec2API
	iam    iamAPI
	ssm    parameterReader
	sts    identityReader
}

func newClients(cfg aws.Config, settings *awsconfig.Settings) clients {
	return clients{config: cfg, ec2: bindEC2(awsconfig.EC2(cfg, settings)), iam: bindIAM(iam.NewFromConfig(cfg)), ssm: parameterCall(worded(ssm.NewFromConfig(cfg).GetParameter)), sts: sts.NewFromConfig(cfg)}
}
