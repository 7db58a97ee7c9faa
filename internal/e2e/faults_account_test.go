// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// account is everything that is there in the lab, in all regions, apart from what it begins with.
type account struct {
	images   map[string]imageSeen // by id
	others   []string             // the ids or names of everything that is neither an image nor a snapshot of one
	machines int                  // that were ever launched
}

// imageSeen is an image of the account's own, and where it is.
type imageSeen struct {
	region, name, state string
	snapshots           []string
}

// account reads the lab back.
func (q *quick) account(t *testing.T) account {
	t.Helper()
	a := account{images: map[string]imageSeen{}}
	for _, region := range quickRegions {
		c := ec2.NewFromConfig(q.sdk(region))
		a.addImages(t, c, region)
		a.addMachines(t, c)
		a.addGroupsAndRequests(t, c)
	}
	a.addRoles(t, iam.NewFromConfig(q.sdk("us-east-1")))
	a.addObjects(t, s3.NewFromConfig(q.sdk("us-east-1"), func(o *s3.Options) { o.UsePathStyle = true }), q.Value("BAKERY_LAB_BUCKET"))
	slices.Sort(a.others)
	return a
}

func must[T any](t *testing.T) func(T, error) T {
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func (a *account) addImages(t *testing.T, c *ec2.Client, region string) {
	t.Helper()
	var used []string
	images := must[*ec2.DescribeImagesOutput](t)(c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: []string{"self"}}))
	for _, i := range images.Images {
		seen := imageSeen{region: region, name: aws.ToString(i.Name), state: string(i.State)}
		for _, d := range i.BlockDeviceMappings {
			if d.Ebs != nil {
				seen.snapshots = append(seen.snapshots, aws.ToString(d.Ebs.SnapshotId))
			}
		}
		used = append(used, seen.snapshots...)
		a.images[aws.ToString(i.ImageId)] = seen
	}
	snapshots := must[*ec2.DescribeSnapshotsOutput](t)(c.DescribeSnapshots(t.Context(), &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}}))
	for _, s := range snapshots.Snapshots {
		if !slices.Contains(used, aws.ToString(s.SnapshotId)) {
			a.others = append(a.others, aws.ToString(s.SnapshotId))
		}
	}
}

func (a *account) addMachines(t *testing.T, c *ec2.Client) {
	t.Helper()
	instances := must[*ec2.DescribeInstancesOutput](t)(c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{}))
	for _, r := range instances.Reservations {
		for _, i := range r.Instances {
			a.machines++
			if i.State.Name != types.InstanceStateNameTerminated && i.State.Name != types.InstanceStateNameShuttingDown {
				a.others = append(a.others, aws.ToString(i.InstanceId))
			}
		}
	}
	volumes := must[*ec2.DescribeVolumesOutput](t)(c.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{}))
	for _, v := range volumes.Volumes {
		// Those of a machine that is left are no more than the machine.
		if len(v.Attachments) == 0 || !slices.Contains(a.others, aws.ToString(v.Attachments[0].InstanceId)) {
			a.others = append(a.others, aws.ToString(v.VolumeId))
		}
	}
}

func (a *account) addGroupsAndRequests(t *testing.T, c *ec2.Client) {
	t.Helper()
	groups := must[*ec2.DescribeSecurityGroupsOutput](t)(c.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{}))
	for _, g := range groups.SecurityGroups {
		if aws.ToString(g.GroupName) != "default" {
			a.others = append(a.others, aws.ToString(g.GroupId))
		}
	}
	requests := must[*ec2.DescribeSpotInstanceRequestsOutput](t)(c.DescribeSpotInstanceRequests(t.Context(), &ec2.DescribeSpotInstanceRequestsInput{}))
	for _, r := range requests.SpotInstanceRequests {
		if r.State == types.SpotInstanceStateOpen || r.State == types.SpotInstanceStateActive || r.State == types.SpotInstanceStateDisabled {
			a.others = append(a.others, aws.ToString(r.SpotInstanceRequestId))
		}
	}
}

func (a *account) addRoles(t *testing.T, c *iam.Client) {
	t.Helper()
	roles := must[*iam.ListRolesOutput](t)(c.ListRoles(t.Context(), &iam.ListRolesInput{}))
	profiles := must[*iam.ListInstanceProfilesOutput](t)(c.ListInstanceProfiles(t.Context(), &iam.ListInstanceProfilesInput{}))
	for _, r := range roles.Roles {
		if strings.HasPrefix(aws.ToString(r.RoleName), "bakery-") {
			a.others = append(a.others, aws.ToString(r.RoleName))
		}
	}
	for _, p := range profiles.InstanceProfiles {
		if strings.HasPrefix(aws.ToString(p.InstanceProfileName), "bakery-") {
			a.others = append(a.others, aws.ToString(p.InstanceProfileName))
		}
	}
}

func (a *account) addObjects(t *testing.T, c *s3.Client, bucket string) {
	t.Helper()
	objects := must[*s3.ListObjectsV2Output](t)(c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket}))
	for _, o := range objects.Contents {
		a.others = append(a.others, aws.ToString(o.Key))
	}
	uploads, err := c.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &bucket})
	if refused := smithy.APIError(nil); errors.As(err, &refused) && refused.ErrorCode() == "NoSuchUpload" {
		return // what the lab says of none
	}
	must[any](t)(nil, err)
	for _, u := range uploads.Uploads {
		a.others = append(a.others, aws.ToString(u.Key)+" (unfinished)")
	}
}

// since is what has come to an account that was another before.
func (a account) since(before account) account {
	images := maps.Clone(a.images)
	for id := range before.images {
		delete(images, id)
	}
	others := slices.DeleteFunc(slices.Clone(a.others), func(what string) bool { return slices.Contains(before.others, what) })
	return account{images, others, a.machines - before.machines}
}

func (a account) String() string {
	var all []string
	for _, id := range slices.Sorted(maps.Keys(a.images)) {
		i := a.images[id]
		all = append(all, fmt.Sprintf("%s %q in %s, %s", id, i.name, i.region, i.state))
	}
	return fmt.Sprintf("%d machines were launched; there are %s", a.machines, strings.Join(append(all, a.others...), "; "))
}
