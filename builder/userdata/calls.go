// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// ec2Calls are the calls of an *ec2.Client that a bake makes, each bound on its own.
//
// The client itself must not become an interface's value. Packer's SDK uses text/template, which calls methods by name,
// so the linker keeps all methods of everything that is in an interface: with 700 calls of EC2 and what they take and give,
// the plugin would be 40 MB larger.
type ec2Calls struct {
	describeImages         call[ec2.DescribeImagesInput, ec2.DescribeImagesOutput]
	createImage            call[ec2.CreateImageInput, ec2.CreateImageOutput]
	deregisterImage        call[ec2.DeregisterImageInput, ec2.DeregisterImageOutput]
	describeSnapshots      call[ec2.DescribeSnapshotsInput, ec2.DescribeSnapshotsOutput]
	deleteSnapshot         call[ec2.DeleteSnapshotInput, ec2.DeleteSnapshotOutput]
	describeInstanceTypes  call[ec2.DescribeInstanceTypesInput, ec2.DescribeInstanceTypesOutput]
	describeVpcs           call[ec2.DescribeVpcsInput, ec2.DescribeVpcsOutput]
	describeSubnets        call[ec2.DescribeSubnetsInput, ec2.DescribeSubnetsOutput]
	describeSecurityGroups call[ec2.DescribeSecurityGroupsInput, ec2.DescribeSecurityGroupsOutput]
	createSecurityGroup    call[ec2.CreateSecurityGroupInput, ec2.CreateSecurityGroupOutput]
	deleteSecurityGroup    call[ec2.DeleteSecurityGroupInput, ec2.DeleteSecurityGroupOutput]
	runInstances           call[ec2.RunInstancesInput, ec2.RunInstancesOutput]
	terminateInstances     call[ec2.TerminateInstancesInput, ec2.TerminateInstancesOutput]
	deleteVolume           call[ec2.DeleteVolumeInput, ec2.DeleteVolumeOutput]
	describeInstances      call[ec2.DescribeInstancesInput, ec2.DescribeInstancesOutput]
	getConsoleOutput       call[ec2.GetConsoleOutputInput, ec2.GetConsoleOutputOutput]

	copyImage                            call[ec2.CopyImageInput, ec2.CopyImageOutput]
	registerImage                        call[ec2.RegisterImageInput, ec2.RegisterImageOutput]
	modifyImageAttribute                 call[ec2.ModifyImageAttributeInput, ec2.ModifyImageAttributeOutput]
	modifySnapshotAttribute              call[ec2.ModifySnapshotAttributeInput, ec2.ModifySnapshotAttributeOutput]
	enableImageDeprecation               call[ec2.EnableImageDeprecationInput, ec2.EnableImageDeprecationOutput]
	enableImageDeregistrationProtection  call[ec2.EnableImageDeregistrationProtectionInput, ec2.EnableImageDeregistrationProtectionOutput]
	disableImageDeregistrationProtection call[ec2.DisableImageDeregistrationProtectionInput, ec2.DisableImageDeregistrationProtectionOutput]
	modifyInstanceAttribute              call[ec2.ModifyInstanceAttributeInput, ec2.ModifyInstanceAttributeOutput]
	describeRegions                      call[ec2.DescribeRegionsInput, ec2.DescribeRegionsOutput]
	describeSpotPriceHistory             call[ec2.DescribeSpotPriceHistoryInput, ec2.DescribeSpotPriceHistoryOutput]
	describeSpotInstanceRequests         call[ec2.DescribeSpotInstanceRequestsInput, ec2.DescribeSpotInstanceRequestsOutput]
	cancelSpotInstanceRequests           call[ec2.CancelSpotInstanceRequestsInput, ec2.CancelSpotInstanceRequestsOutput]
	describeTags                         call[ec2.DescribeTagsInput, ec2.DescribeTagsOutput]
	deleteTags                           call[ec2.DeleteTagsInput, ec2.DeleteTagsOutput]
}

// call is one call of EC2's client.
type call[I, O any] func(context.Context, *I, ...func(*ec2.Options)) (*O, error)

// worded is a call whose errors are in words.
func worded[I, O any, Options any](do func(context.Context, *I, ...func(*Options)) (*O, error)) func(context.Context, *I, ...func(*Options)) (*O, error) {
	return func(ctx context.Context, in *I, opts ...func(*Options)) (*O, error) {
		out, err := do(ctx, in, opts...)
		return out, awserror.InWords(err)
	}
}

func bindEC2(c *ec2.Client) *ec2Calls {
	return &ec2Calls{
		describeImages:         worded(c.DescribeImages),
		createImage:            worded(c.CreateImage),
		deregisterImage:        worded(c.DeregisterImage),
		describeSnapshots:      worded(c.DescribeSnapshots),
		deleteSnapshot:         worded(c.DeleteSnapshot),
		describeInstanceTypes:  worded(c.DescribeInstanceTypes),
		describeVpcs:           worded(c.DescribeVpcs),
		describeSubnets:        worded(c.DescribeSubnets),
		describeSecurityGroups: worded(c.DescribeSecurityGroups),
		createSecurityGroup:    worded(c.CreateSecurityGroup),
		deleteSecurityGroup:    worded(c.DeleteSecurityGroup),
		runInstances:           worded(c.RunInstances),
		terminateInstances:     worded(c.TerminateInstances),
		deleteVolume:           worded(c.DeleteVolume),
		describeInstances:      worded(c.DescribeInstances),
		getConsoleOutput:       worded(c.GetConsoleOutput),

		copyImage:                            worded(c.CopyImage),
		registerImage:                        worded(c.RegisterImage),
		modifyImageAttribute:                 worded(c.ModifyImageAttribute),
		modifySnapshotAttribute:              worded(c.ModifySnapshotAttribute),
		enableImageDeprecation:               worded(c.EnableImageDeprecation),
		enableImageDeregistrationProtection:  worded(c.EnableImageDeregistrationProtection),
		disableImageDeregistrationProtection: worded(c.DisableImageDeregistrationProtection),
		modifyInstanceAttribute:              worded(c.ModifyInstanceAttribute),
		describeRegions:                      worded(c.DescribeRegions),
		describeSpotPriceHistory:             worded(c.DescribeSpotPriceHistory),
		describeSpotInstanceRequests:         worded(c.DescribeSpotInstanceRequests),
		cancelSpotInstanceRequests:           worded(c.CancelSpotInstanceRequests),
		describeTags:                         worded(c.DescribeTags),
		deleteTags:                           worded(c.DeleteTags),
	}
}

var _ ec2API = (*ec2Calls)(nil)

func (c *ec2Calls) DescribeImages(ctx context.Context, in *ec2.DescribeImagesInput, opts ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error) {
	return c.describeImages(ctx, in, opts...)
}

func (c *ec2Calls) CreateImage(ctx context.Context, in *ec2.CreateImageInput, opts ...func(*ec2.Options)) (*ec2.CreateImageOutput, error) {
	return c.createImage(ctx, in, opts...)
}

func (c *ec2Calls) DeregisterImage(ctx context.Context, in *ec2.DeregisterImageInput, opts ...func(*ec2.Options)) (*ec2.DeregisterImageOutput, error) {
	return c.deregisterImage(ctx, in, opts...)
}

func (c *ec2Calls) DescribeSnapshots(ctx context.Context, in *ec2.DescribeSnapshotsInput, opts ...func(*ec2.Options)) (*ec2.DescribeSnapshotsOutput, error) {
	return c.describeSnapshots(ctx, in, opts...)
}

func (c *ec2Calls) DeleteSnapshot(ctx context.Context, in *ec2.DeleteSnapshotInput, opts ...func(*ec2.Options)) (*ec2.DeleteSnapshotOutput, error) {
	return c.deleteSnapshot(ctx, in, opts...)
}

func (c *ec2Calls) DescribeInstanceTypes(ctx context.Context, in *ec2.DescribeInstanceTypesInput, opts ...func(*ec2.Options)) (*ec2.DescribeInstanceTypesOutput, error) {
	return c.describeInstanceTypes(ctx, in, opts...)
}

func (c *ec2Calls) DescribeVpcs(ctx context.Context, in *ec2.DescribeVpcsInput, opts ...func(*ec2.Options)) (*ec2.DescribeVpcsOutput, error) {
	return c.describeVpcs(ctx, in, opts...)
}

func (c *ec2Calls) DescribeSubnets(ctx context.Context, in *ec2.DescribeSubnetsInput, opts ...func(*ec2.Options)) (*ec2.DescribeSubnetsOutput, error) {
	return c.describeSubnets(ctx, in, opts...)
}

func (c *ec2Calls) DescribeSecurityGroups(ctx context.Context, in *ec2.DescribeSecurityGroupsInput, opts ...func(*ec2.Options)) (*ec2.DescribeSecurityGroupsOutput, error) {
	return c.describeSecurityGroups(ctx, in, opts...)
}

func (c *ec2Calls) CreateSecurityGroup(ctx context.Context, in *ec2.CreateSecurityGroupInput, opts ...func(*ec2.Options)) (*ec2.CreateSecurityGroupOutput, error) {
	return c.createSecurityGroup(ctx, in, opts...)
}

func (c *ec2Calls) DeleteSecurityGroup(ctx context.Context, in *ec2.DeleteSecurityGroupInput, opts ...func(*ec2.Options)) (*ec2.DeleteSecurityGroupOutput, error) {
	return c.deleteSecurityGroup(ctx, in, opts...)
}

func (c *ec2Calls) RunInstances(ctx context.Context, in *ec2.RunInstancesInput, opts ...func(*ec2.Options)) (*ec2.RunInstancesOutput, error) {
	return c.runInstances(ctx, in, opts...)
}

func (c *ec2Calls) TerminateInstances(ctx context.Context, in *ec2.TerminateInstancesInput, opts ...func(*ec2.Options)) (*ec2.TerminateInstancesOutput, error) {
	return c.terminateInstances(ctx, in, opts...)
}

func (c *ec2Calls) DeleteVolume(ctx context.Context, in *ec2.DeleteVolumeInput, opts ...func(*ec2.Options)) (*ec2.DeleteVolumeOutput, error) {
	return c.deleteVolume(ctx, in, opts...)
}

func (c *ec2Calls) DescribeInstances(ctx context.Context, in *ec2.DescribeInstancesInput, opts ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	return c.describeInstances(ctx, in, opts...)
}

func (c *ec2Calls) GetConsoleOutput(ctx context.Context, in *ec2.GetConsoleOutputInput, opts ...func(*ec2.Options)) (*ec2.GetConsoleOutputOutput, error) {
	return c.getConsoleOutput(ctx, in, opts...)
}

func (c *ec2Calls) CopyImage(ctx context.Context, in *ec2.CopyImageInput, opts ...func(*ec2.Options)) (*ec2.CopyImageOutput, error) {
	return c.copyImage(ctx, in, opts...)
}

func (c *ec2Calls) RegisterImage(ctx context.Context, in *ec2.RegisterImageInput, opts ...func(*ec2.Options)) (*ec2.RegisterImageOutput, error) {
	return c.registerImage(ctx, in, opts...)
}

func (c *ec2Calls) ModifyImageAttribute(ctx context.Context, in *ec2.ModifyImageAttributeInput, opts ...func(*ec2.Options)) (*ec2.ModifyImageAttributeOutput, error) {
	return c.modifyImageAttribute(ctx, in, opts...)
}

func (c *ec2Calls) ModifySnapshotAttribute(ctx context.Context, in *ec2.ModifySnapshotAttributeInput, opts ...func(*ec2.Options)) (*ec2.ModifySnapshotAttributeOutput, error) {
	return c.modifySnapshotAttribute(ctx, in, opts...)
}

func (c *ec2Calls) EnableImageDeprecation(ctx context.Context, in *ec2.EnableImageDeprecationInput, opts ...func(*ec2.Options)) (*ec2.EnableImageDeprecationOutput, error) {
	return c.enableImageDeprecation(ctx, in, opts...)
}

func (c *ec2Calls) EnableImageDeregistrationProtection(ctx context.Context, in *ec2.EnableImageDeregistrationProtectionInput, opts ...func(*ec2.Options)) (*ec2.EnableImageDeregistrationProtectionOutput, error) {
	return c.enableImageDeregistrationProtection(ctx, in, opts...)
}

func (c *ec2Calls) DisableImageDeregistrationProtection(ctx context.Context, in *ec2.DisableImageDeregistrationProtectionInput, opts ...func(*ec2.Options)) (*ec2.DisableImageDeregistrationProtectionOutput, error) {
	return c.disableImageDeregistrationProtection(ctx, in, opts...)
}

func (c *ec2Calls) ModifyInstanceAttribute(ctx context.Context, in *ec2.ModifyInstanceAttributeInput, opts ...func(*ec2.Options)) (*ec2.ModifyInstanceAttributeOutput, error) {
	return c.modifyInstanceAttribute(ctx, in, opts...)
}

func (c *ec2Calls) DescribeRegions(ctx context.Context, in *ec2.DescribeRegionsInput, opts ...func(*ec2.Options)) (*ec2.DescribeRegionsOutput, error) {
	return c.describeRegions(ctx, in, opts...)
}

func (c *ec2Calls) DescribeSpotPriceHistory(ctx context.Context, in *ec2.DescribeSpotPriceHistoryInput, opts ...func(*ec2.Options)) (*ec2.DescribeSpotPriceHistoryOutput, error) {
	return c.describeSpotPriceHistory(ctx, in, opts...)
}

func (c *ec2Calls) DescribeSpotInstanceRequests(ctx context.Context, in *ec2.DescribeSpotInstanceRequestsInput, opts ...func(*ec2.Options)) (*ec2.DescribeSpotInstanceRequestsOutput, error) {
	return c.describeSpotInstanceRequests(ctx, in, opts...)
}

func (c *ec2Calls) CancelSpotInstanceRequests(ctx context.Context, in *ec2.CancelSpotInstanceRequestsInput, opts ...func(*ec2.Options)) (*ec2.CancelSpotInstanceRequestsOutput, error) {
	return c.cancelSpotInstanceRequests(ctx, in, opts...)
}

func (c *ec2Calls) DescribeTags(ctx context.Context, in *ec2.DescribeTagsInput, opts ...func(*ec2.Options)) (*ec2.DescribeTagsOutput, error) {
	return c.describeTags(ctx, in, opts...)
}

func (c *ec2Calls) DeleteTags(ctx context.Context, in *ec2.DeleteTagsInput, opts ...func(*ec2.Options)) (*ec2.DeleteTagsOutput, error) {
	return c.deleteTags(ctx, in, opts...)
}

// parameterCall is the one call of an *ssm.Client, bound for the same reason.
type parameterCall func(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)

func (c parameterCall) GetParameter(ctx context.Context, in *ssm.GetParameterInput, opts ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	return c(ctx, in, opts...)
}
