// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// guest is where the newest image of a distribution is found: an SSM parameter, or a name of an owner's.
type guest struct {
	parameter   string
	owner, name string
}

// guests are the images that people start from most often. Sources:
// https://docs.aws.amazon.com/linux/al2023/ug/ec2.html, https://wiki.debian.org/Cloud/AmazonEC2Image,
// https://documentation.ubuntu.com/aws/en/latest/aws-how-to/instances/find-ubuntu-images/,
// https://rockylinux.org/download (owner 792107900819).
var guests = map[string]guest{
	"al2023": {parameter: "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"},
	"debian": {parameter: "/aws/service/debian/release/12/latest/amd64"},
	"ubuntu": {parameter: "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"},
	"rocky":  {owner: "792107900819", name: "Rocky-9-EC2-Base-9.*.x86_64"},
}

// account is what a run uses of the account beside packer.
type account struct {
	ec2    *ec2.Client
	s3     *s3.Client
	region string
}

// findSources returns the image of each guest that is not given.
func (a *account) findSources(ctx context.Context, given map[string]string) (map[string]string, error) {
	found := map[string]string{}
	for name, g := range guests {
		switch {
		case given[name] != "":
			found[name] = given[name]
		case g.parameter != "":
			found[name] = "resolve:ssm:" + g.parameter
		default:
			out, err := a.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{g.owner},
				Filters: []types.Filter{{Name: aws.String("name"), Values: []string{g.name}}}})
			if err != nil {
				return nil, fmt.Errorf("look for the image of %s: %w", name, err)
			}
			if len(out.Images) == 0 {
				return nil, fmt.Errorf("no image of %s is called %s in %s; give one with -source %s=ID",
					g.owner, g.name, a.region, name)
			}
			sort.Slice(out.Images, func(i, j int) bool {
				return aws.ToString(out.Images[i].CreationDate) > aws.ToString(out.Images[j].CreationDate)
			})
			found[name] = aws.ToString(out.Images[0].ImageId)
		}
	}
	return found, nil
}

// makeBucket makes a bucket for what is staged.
func (a *account) makeBucket(ctx context.Context, name string) error {
	in := &s3.CreateBucketInput{Bucket: aws.String(name)}
	if a.region != "us-east-1" { // which does not take its own name
		in.CreateBucketConfiguration = &s3types.CreateBucketConfiguration{
			LocationConstraint: s3types.BucketLocationConstraint(a.region)}
	}
	if _, err := a.s3.CreateBucket(ctx, in); err != nil {
		return fmt.Errorf("make the bucket %s: %w", name, err)
	}
	return nil
}

// removeBucket removes the bucket of this run, and what is in it.
func (a *account) removeBucket(ctx context.Context, name string) error {
	pages := s3.NewListObjectsV2Paginator(a.s3, &s3.ListObjectsV2Input{Bucket: aws.String(name)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list the bucket %s: %w", name, err)
		}
		for _, object := range page.Contents {
			_, err := a.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(name), Key: object.Key})
			if err != nil {
				return fmt.Errorf("remove %s from the bucket %s: %w", aws.ToString(object.Key), name, err)
			}
		}
	}
	if _, err := a.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(name)}); err != nil {
		return fmt.Errorf("remove the bucket %s: %w", name, err)
	}
	return nil
}

// removeImage deregisters an image of this run and deletes its snapshots.
func (a *account) removeImage(ctx context.Context, id string) error {
	out, err := a.ec2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err != nil {
		return fmt.Errorf("look for the snapshots of %s: %w", id, err)
	}
	if _, err := a.ec2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id)}); err != nil {
		return fmt.Errorf("deregister %s: %w", id, err)
	}
	var errs []error
	for _, image := range out.Images {
		for _, disk := range image.BlockDeviceMappings {
			if disk.Ebs == nil || disk.Ebs.SnapshotId == nil {
				continue
			}
			_, err := a.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: disk.Ebs.SnapshotId})
			if err != nil {
				errs = append(errs, fmt.Errorf("delete %s: %w", *disk.Ebs.SnapshotId, err))
			}
		}
	}
	return errors.Join(errs...)
}

// removalTime is how long EC2 may take until what was removed is gone, such as the network interface of a machine.
const removalTime = 5 * time.Minute

// leftBehind lists what still carries the tag of this run when EC2 has had time to remove it.
func (a *account) leftBehind(ctx context.Context, id string) ([]string, error) {
	for end := time.Now().Add(removalTime); ; {
		left, err := a.tagged(ctx, id)
		if err != nil || len(left) == 0 || time.Now().After(end) {
			return left, err
		}
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
			return left, ctx.Err()
		}
	}
}

// tagged lists what carries the tag of this run. Machines are visible for an hour after their end; they do not count.
func (a *account) tagged(ctx context.Context, id string) ([]string, error) {
	pages := ec2.NewDescribeTagsPaginator(a.ec2, &ec2.DescribeTagsInput{Filters: []types.Filter{
		{Name: aws.String("key"), Values: []string{"bakery-test-aws"}},
		{Name: aws.String("value"), Values: []string{id}},
	}})
	var ids []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("look for what is left: %w", err)
		}
		for _, tag := range page.Tags {
			ids = append(ids, aws.ToString(tag.ResourceId))
		}
	}
	ended, err := a.ended(ctx, ids)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(ids, func(id string) bool { return ended[id] }), nil
}

// ended returns which of the resources are terminated machines.
func (a *account) ended(ctx context.Context, ids []string) (map[string]bool, error) {
	ended := map[string]bool{}
	var machines []string
	for _, id := range ids {
		if strings.HasPrefix(id, "i-") {
			machines = append(machines, id)
		}
	}
	if len(machines) == 0 {
		return ended, nil
	}
	out, err := a.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: machines})
	if err != nil {
		return nil, fmt.Errorf("look for machines that are left: %w", err)
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			ended[aws.ToString(i.InstanceId)] = i.State.Name == types.InstanceStateNameTerminated
		}
	}
	return ended, nil
}
