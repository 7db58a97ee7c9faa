// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
)

// as converts an answer of the SDK to another type, which has some of its fields. awscli prints the same names.
func as[T any](t *testing.T, from any) (to T) {
	t.Helper()
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, &to)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// ec2 is a client of the lab in a region.
func (l *lab) ec2(region string) *ec2.Client {
	config := l.config()
	config.Region = region
	return ec2.NewFromConfig(config)
}

// describeImage returns the one image of a name in a region.
func (l *lab) describeImage(t *testing.T, region, name string) describedImage {
	t.Helper()
	out, err := l.ec2(region).DescribeImages(t.Context(), &ec2.DescribeImagesInput{
		Owners: []string{"self"}, Filters: []types.Filter{{Name: aws.String("name"), Values: []string{name}}},
	})
	if err != nil || len(out.Images) != 1 {
		t.Fatalf("describe the image %s in %s: %+v, %v", name, region, out, err)
	}
	return as[describedImage](t, out.Images[0])
}

func (l *lab) snapshot(t *testing.T, region, id string) snapshotShown {
	t.Helper()
	out, err := l.ec2(region).DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{SnapshotIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return as[snapshotShown](t, out.Snapshots[0])
}

// launchPermissions lists who may launch an image, volumePermissions who may make volumes of a snapshot.
func (l *lab) launchPermissions(t *testing.T, region, id string) []string {
	t.Helper()
	out, err := l.ec2(region).DescribeImageAttribute(t.Context(), &ec2.DescribeImageAttributeInput{
		ImageId: &id, Attribute: types.ImageAttributeNameLaunchPermission,
	})
	if err != nil {
		t.Fatal(err)
	}
	var who []string
	for _, p := range out.LaunchPermissions {
		who = append(who, aws.ToString(p.UserId), string(p.Group), aws.ToString(p.OrganizationArn),
			aws.ToString(p.OrganizationalUnitArn))
	}
	return sortedNames(who)
}

func (l *lab) volumePermissions(t *testing.T, region, id string) []string {
	t.Helper()
	out, err := l.ec2(region).DescribeSnapshotAttribute(t.Context(), &ec2.DescribeSnapshotAttributeInput{
		SnapshotId: &id, Attribute: types.SnapshotAttributeNameCreateVolumePermission,
	})
	if err != nil {
		t.Fatal(err)
	}
	var who []string
	for _, p := range out.CreateVolumePermissions {
		who = append(who, aws.ToString(p.UserId), string(p.Group))
	}
	return sortedNames(who)
}

// sortedNames sorts names and removes empty ones.
func sortedNames(names []string) []string {
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	slices.Sort(names)
	return names
}

// runningInstances lists the instances that run.
func (l *lab) runningInstances(t *testing.T) (all []types.Instance) {
	t.Helper()
	out, err := l.ec2(l.values["AWS_REGION"]).DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{
		Filters: []types.Filter{{Name: aws.String("instance-state-name"), Values: []string{"pending", "running"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range out.Reservations {
		all = append(all, r.Instances...)
	}
	return all
}

// checkAWSCLIAgrees checks that awscli, which is not ours, reads of an image what the SDK does.
func checkAWSCLIAgrees(t *testing.T, l *lab, region, name string) {
	t.Helper()
	image := l.describeImage(t, region, name)
	id, snapshot := image.ImageId, image.BlockDeviceMappings[0].Ebs.SnapshotId
	var images []describedImage
	var snapshots []snapshotShown
	var launch, volume []string
	l.aws(t, &images, "ec2", "describe-images", "--region", region, "--image-ids", id, "--query", "Images")
	l.aws(t, &snapshots, "ec2", "describe-snapshots", "--region", region, "--snapshot-ids", snapshot,
		"--query", "Snapshots")
	l.aws(t, &launch, "ec2", "describe-image-attribute", "--region", region, "--image-id", id,
		"--attribute", "launchPermission",
		"--query", "LaunchPermissions[].[UserId, Group, OrganizationArn, OrganizationalUnitArn][] | [?@]")
	l.aws(t, &volume, "ec2", "describe-snapshot-attribute", "--region", region, "--snapshot-id", snapshot,
		"--attribute", "createVolumePermission", "--query", "CreateVolumePermissions[].[UserId, Group][] | [?@]")
	for _, diff := range []string{
		cmp.Diff([]describedImage{image}, images),
		cmp.Diff([]snapshotShown{l.snapshot(t, region, snapshot)}, snapshots),
		cmp.Diff(l.launchPermissions(t, region, id), sortedNames(launch)),
		cmp.Diff(l.volumePermissions(t, region, snapshot), sortedNames(volume)),
	} {
		if diff != "" {
			t.Errorf("awscli reads something else (-SDK +awscli):\n%s", diff)
		}
	}
}
