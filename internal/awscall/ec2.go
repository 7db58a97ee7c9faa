// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// EC2 is the calls of an *ec2.Client that the plugin makes. A call that is not bound is nil: tests set those they need.
// What is not said to be in another policy is in docs/iam/bake.json, or image.json for the calls of ami's settings.
type EC2 struct {
	// What images there are, and where they come from.
	DescribeImages    ec2Call[ec2.DescribeImagesInput, ec2.DescribeImagesOutput]
	DescribeSnapshots ec2Call[ec2.DescribeSnapshotsInput, ec2.DescribeSnapshotsOutput]
	DescribeRegions   ec2Call[ec2.DescribeRegionsInput, ec2.DescribeRegionsOutput]

	// Images: making, changing and removing them.
	CreateImage                         ec2Call[ec2.CreateImageInput, ec2.CreateImageOutput]
	CopyImage                           ec2Call[ec2.CopyImageInput, ec2.CopyImageOutput]
	RegisterImage                       ec2Call[ec2.RegisterImageInput, ec2.RegisterImageOutput]
	ModifyImageAttribute                ec2Call[ec2.ModifyImageAttributeInput, ec2.ModifyImageAttributeOutput]
	ModifySnapshotAttribute             ec2Call[ec2.ModifySnapshotAttributeInput, ec2.ModifySnapshotAttributeOutput]
	EnableImageDeprecation              ec2Call[ec2.EnableImageDeprecationInput, ec2.EnableImageDeprecationOutput]
	EnableImageDeregistrationProtection ec2Call[ec2.EnableImageDeregistrationProtectionInput,
		ec2.EnableImageDeregistrationProtectionOutput]
	DisableImageDeregistrationProtection ec2Call[ec2.DisableImageDeregistrationProtectionInput,
		ec2.DisableImageDeregistrationProtectionOutput]
	DeregisterImage ec2Call[ec2.DeregisterImageInput, ec2.DeregisterImageOutput]
	DeleteSnapshot  ec2Call[ec2.DeleteSnapshotInput, ec2.DeleteSnapshotOutput]
	CreateTags      ec2Call[ec2.CreateTagsInput, ec2.CreateTagsOutput]
	DeleteTags      ec2Call[ec2.DeleteTagsInput, ec2.DeleteTagsOutput]

	// The settings of the account that images are shared under: what docs/iam/share.json has to allow.
	GetEbsEncryptionByDefault ec2Call[ec2.GetEbsEncryptionByDefaultInput, ec2.GetEbsEncryptionByDefaultOutput]
	GetEbsDefaultKmsKeyId     ec2Call[ec2.GetEbsDefaultKmsKeyIdInput, //nolint:revive,staticcheck // AWS's name
		ec2.GetEbsDefaultKmsKeyIdOutput]
	GetImageBlockPublicAccessState ec2Call[ec2.GetImageBlockPublicAccessStateInput,
		ec2.GetImageBlockPublicAccessStateOutput]
	GetSnapshotBlockPublicAccessState ec2Call[ec2.GetSnapshotBlockPublicAccessStateInput,
		ec2.GetSnapshotBlockPublicAccessStateOutput]

	// The network.
	DescribeVpcs           ec2Call[ec2.DescribeVpcsInput, ec2.DescribeVpcsOutput]
	DescribeSubnets        ec2Call[ec2.DescribeSubnetsInput, ec2.DescribeSubnetsOutput]
	DescribeSecurityGroups ec2Call[ec2.DescribeSecurityGroupsInput, ec2.DescribeSecurityGroupsOutput]
	CreateSecurityGroup    ec2Call[ec2.CreateSecurityGroupInput, ec2.CreateSecurityGroupOutput]
	DeleteSecurityGroup    ec2Call[ec2.DeleteSecurityGroupInput, ec2.DeleteSecurityGroupOutput]

	// Instances and their volumes.
	DescribeInstanceTypes   ec2Call[ec2.DescribeInstanceTypesInput, ec2.DescribeInstanceTypesOutput]
	DescribeInstances       ec2Call[ec2.DescribeInstancesInput, ec2.DescribeInstancesOutput]
	GetConsoleOutput        ec2Call[ec2.GetConsoleOutputInput, ec2.GetConsoleOutputOutput]
	RunInstances            ec2Call[ec2.RunInstancesInput, ec2.RunInstancesOutput]
	ModifyInstanceAttribute ec2Call[ec2.ModifyInstanceAttributeInput, ec2.ModifyInstanceAttributeOutput]
	TerminateInstances      ec2Call[ec2.TerminateInstancesInput, ec2.TerminateInstancesOutput]
	DeleteVolume            ec2Call[ec2.DeleteVolumeInput, ec2.DeleteVolumeOutput]

	// Spot Instances: what docs/iam/spot.json has to allow.
	DescribeSpotPriceHistory     ec2Call[ec2.DescribeSpotPriceHistoryInput, ec2.DescribeSpotPriceHistoryOutput]
	DescribeSpotInstanceRequests ec2Call[ec2.DescribeSpotInstanceRequestsInput, ec2.DescribeSpotInstanceRequestsOutput]
	CancelSpotInstanceRequests   ec2Call[ec2.CancelSpotInstanceRequestsInput, ec2.CancelSpotInstanceRequestsOutput]

	// The sweep: what docs/iam/sweep.json has to allow, beside its removals and the proofs for them.
	DescribeTags ec2Call[ec2.DescribeTagsInput, ec2.DescribeTagsOutput]
}

// ec2Call is one call of EC2's client.
type ec2Call[I, O any] func(context.Context, *I, ...func(*ec2.Options)) (*O, error)

// BindEC2 returns the calls of a client, with errors a person can read.
func BindEC2(c *ec2.Client) *EC2 {
	return &EC2{
		DescribeImages:    readable(c.DescribeImages),
		DescribeSnapshots: readable(c.DescribeSnapshots),
		DescribeRegions:   readable(c.DescribeRegions),

		CreateImage:                          readable(c.CreateImage),
		CopyImage:                            readable(c.CopyImage),
		RegisterImage:                        readable(c.RegisterImage),
		ModifyImageAttribute:                 readable(c.ModifyImageAttribute),
		ModifySnapshotAttribute:              readable(c.ModifySnapshotAttribute),
		EnableImageDeprecation:               readable(c.EnableImageDeprecation),
		EnableImageDeregistrationProtection:  readable(c.EnableImageDeregistrationProtection),
		DisableImageDeregistrationProtection: readable(c.DisableImageDeregistrationProtection),
		DeregisterImage:                      readable(c.DeregisterImage),
		DeleteSnapshot:                       readable(c.DeleteSnapshot),

		GetEbsEncryptionByDefault:         readable(c.GetEbsEncryptionByDefault),
		GetEbsDefaultKmsKeyId:             readable(c.GetEbsDefaultKmsKeyId),
		GetImageBlockPublicAccessState:    readable(c.GetImageBlockPublicAccessState),
		GetSnapshotBlockPublicAccessState: readable(c.GetSnapshotBlockPublicAccessState),

		DescribeVpcs:           readable(c.DescribeVpcs),
		DescribeSubnets:        readable(c.DescribeSubnets),
		DescribeSecurityGroups: readable(c.DescribeSecurityGroups),
		CreateSecurityGroup:    readable(c.CreateSecurityGroup),
		DeleteSecurityGroup:    readable(c.DeleteSecurityGroup),

		DescribeInstanceTypes:   readable(c.DescribeInstanceTypes),
		DescribeInstances:       readable(c.DescribeInstances),
		GetConsoleOutput:        readable(c.GetConsoleOutput),
		RunInstances:            readable(c.RunInstances),
		ModifyInstanceAttribute: readable(c.ModifyInstanceAttribute),
		TerminateInstances:      readable(c.TerminateInstances),
		DeleteVolume:            readable(c.DeleteVolume),

		DescribeSpotPriceHistory:     readable(c.DescribeSpotPriceHistory),
		DescribeSpotInstanceRequests: readable(c.DescribeSpotInstanceRequests),
		CancelSpotInstanceRequests:   readable(c.CancelSpotInstanceRequests),

		DescribeTags: readable(c.DescribeTags),
		CreateTags:   readable(c.CreateTags),
		DeleteTags:   readable(c.DeleteTags),
	}
}
