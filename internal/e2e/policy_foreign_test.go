// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
)

// foreign is what another user has in the account.
type foreign struct{ instance, image, snapshot, group string }

func (q *quickLab) foreign(t *testing.T, c *ec2.Client) foreign {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	run, err := c.RunInstances(t.Context(), untaggedMachine(q))
	must(err)
	f := foreign{instance: *run.Instances[0].InstanceId}
	must(ec2.NewInstanceRunningWaiter(c, func(o *ec2.InstanceRunningWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
	}).
		Wait(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{f.instance}}, time.Minute))
	image, err := c.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: &f.instance, Name: aws.String("theirs"),
		NoReboot: aws.Bool(true)})
	must(err)
	f.image = *image.ImageId
	must(ec2.NewImageAvailableWaiter(c, func(o *ec2.ImageAvailableWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
	}).
		Wait(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{f.image}}, time.Minute))
	images, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{f.image}})
	must(err)
	f.snapshot = *images.Images[0].BlockDeviceMappings[0].Ebs.SnapshotId
	group, err := c.CreateSecurityGroup(t.Context(),
		&ec2.CreateSecurityGroupInput{GroupName: aws.String("theirs"), Description: aws.String("theirs")})
	must(err)
	f.group = *group.GroupId
	return f
}

// untaggedMachine launches a machine without the tags of a bake.
func untaggedMachine(q *quickLab) *ec2.RunInstancesInput {
	return &ec2.RunInstancesInput{
		ImageId: aws.String(q.Value("BAKERY_LAB_AMI")), InstanceType: types.InstanceTypeT3Nano, MinCount: aws.Int32(1),
		MaxCount: aws.Int32(1),
	}
}

// TestPoliciesKeepOffWhatNoBakeHasMade checks that all documents of docs/iam together allow no change of anything
// without the tag of a bake, and do not allow to give it that tag.
func TestPoliciesKeepOffWhatNoBakeHasMade(t *testing.T) {
	t.Parallel()
	q := startQuickLabOptions(t, labserver.Options{}) // whose machines run on
	all := ec2.NewFromConfig(q.sdk("us-east-1"))
	f := q.foreign(t, all)
	session := assume(t, q.sdk("us-east-1"), rights{documents: documents(t)}.policy(t))
	limited := q.sdk("us-east-1")
	limited.Credentials = credentials.NewStaticCredentialsProvider(*session.AccessKeyId, *session.SecretAccessKey,
		*session.SessionToken)
	c := ec2.NewFromConfig(limited)
	tag := []types.Tag{{Key: aws.String("bakery:bake-id"), Value: aws.String("mine")}}
	for name, call := range map[string]func(context.Context) error{
		"run a machine without the tag": func(ctx context.Context) error {
			_, err := c.RunInstances(ctx, untaggedMachine(q))
			return err
		},
		"terminate": func(ctx context.Context) error {
			_, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{f.instance}})
			return err
		},
		"terminate it with one of a bake": func(ctx context.Context) error {
			ids := []string{"i-0123456789abcdef0", f.instance}
			_, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids})
			return err
		},
		"read the console": func(ctx context.Context) error {
			_, err := c.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &f.instance})
			return err
		},
		"make an image of the machine": func(ctx context.Context) error {
			_, err := c.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: &f.instance, Name: aws.String("stolen")})
			return err
		},
		"make an image of the disk": func(ctx context.Context) error {
			_, err := c.RegisterImage(ctx, &ec2.RegisterImageInput{Name: aws.String("stolen"),
				RootDeviceName: aws.String("/dev/xvda"), BlockDeviceMappings: []types.BlockDeviceMapping{
					{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{SnapshotId: &f.snapshot}},
				}})
			return err
		},
		"deregister": func(ctx context.Context) error {
			_, err := c.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: &f.image})
			return err
		},
		"delete the disk": func(ctx context.Context) error {
			_, err := c.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &f.snapshot})
			return err
		},
		"share the image": func(ctx context.Context) error {
			_, err := c.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{ImageId: &f.image,
				LaunchPermission: &types.LaunchPermissionModifications{
					Add: []types.LaunchPermission{{Group: types.PermissionGroupAll}},
				}})
			return err
		},
		"share the disk": func(ctx context.Context) error {
			_, err := c.ModifySnapshotAttribute(ctx,
				&ec2.ModifySnapshotAttributeInput{SnapshotId: &f.snapshot, OperationType: types.OperationTypeAdd,
					UserIds: []string{"111111111111"}})
			return err
		},
		"change the machine": func(ctx context.Context) error {
			_, err := c.ModifyInstanceAttribute(ctx,
				&ec2.ModifyInstanceAttributeInput{InstanceId: &f.instance,
					EnaSupport: &types.AttributeBooleanValue{Value: aws.Bool(true)}})
			return err
		},
		"delete the group": func(ctx context.Context) error {
			_, err := c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &f.group})
			return err
		},
		"let something in": func(ctx context.Context) error {
			_, err := c.AuthorizeSecurityGroupIngress(ctx,
				&ec2.AuthorizeSecurityGroupIngressInput{GroupId: &f.group,
					IpPermissions: []types.IpPermission{{IpProtocol: aws.String("-1")}}})
			return err
		},
		"call it a bake's": func(ctx context.Context) error {
			_, err := c.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{f.instance}, Tags: tag})
			return err
		},
		"take tags off": func(ctx context.Context) error {
			_, err := c.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{f.image}, Tags: tag})
			return err
		},
	} {
		if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), "UnauthorizedOperation") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
