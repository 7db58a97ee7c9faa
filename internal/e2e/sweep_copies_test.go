// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// copier makes what people and programs make with a copy of the tags of other things.
type copier struct {
	t      *testing.T
	q      *quickLab
	region string
	c      *ec2.Client
	// own is what a bake has made, whose tags are copied, or nothing: then they are those that it sets when it makes a
	// thing, as where a disk is backed up.
	own map[types.ResourceType][]string
}

func (m *copier) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// tags returns the tags that things of some kinds get.
func (m *copier) tags(kinds ...types.ResourceType) (all []types.TagSpecification) {
	for _, kind := range kinds {
		tags := []types.Tag{
			{Key: aws.String("bakery:bake-id"), Value: aws.String(someBake)},
			{Key: aws.String("bakery:expires"), Value: aws.String(longAgo)},
			{Key: aws.String("bakery:source-ami"), Value: aws.String(m.q.Value("BAKERY_LAB_AMI"))},
		}
		if own := m.own[kind]; len(own) > 0 {
			tags = append(tags, types.Tag{Key: aws.String("bakery:self"), Value: aws.String(own[0])})
		}
		all = append(all, types.TagSpecification{ResourceType: kind, Tags: tags})
	}
	return all
}

// launch is "Launch more like this", on demand or as a Spot Instance.
func (m *copier) launch(name string, market *types.InstanceMarketOptionsRequest) *string {
	kinds := []types.ResourceType{
		types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface,
	}
	if market != nil {
		kinds = append(kinds, types.ResourceTypeSpotInstancesRequest)
	}
	out, err := m.c.RunInstances(m.t.Context(), &ec2.RunInstancesInput{
		ImageId: aws.String(m.q.Value("BAKERY_LAB_AMI")), InstanceType: types.InstanceTypeT3Nano,
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ClientToken: aws.String(name), InstanceMarketOptions: market,
		TagSpecifications: m.tags(kinds...),
		BlockDeviceMappings: []types.BlockDeviceMapping{{
			DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(false)},
		}},
	})
	m.must(err)
	id := out.Instances[0].InstanceId
	m.must(ec2.NewInstanceRunningWaiter(m.c, func(o *ec2.InstanceRunningWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
	}).Wait(m.t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{*id}}, 10*time.Minute))
	return id
}

// copyAll makes a copy of every kind of thing that EC2 has.
func (m *copier) copyAll(name string) {
	instance := m.launch(name+"-on-demand", nil)
	m.launch(name+"-spot", &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot})
	gone := m.launch(name+"-gone", nil) // its volume stays, attached to nothing
	_, err := m.c.TerminateInstances(m.t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{*gone}})
	m.must(err)
	// Until then it is there, and would be missed later.
	m.must(ec2.NewInstanceTerminatedWaiter(m.c, func(o *ec2.InstanceTerminatedWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
	}).Wait(m.t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{*gone}}, 10*time.Minute))
	_, err = m.c.CreateSecurityGroup(m.t.Context(), &ec2.CreateSecurityGroupInput{
		GroupName: aws.String(name), Description: aws.String("production"),
		TagSpecifications: m.tags(types.ResourceTypeSecurityGroup),
	})
	m.must(err)
	_, err = m.c.CreateImage(m.t.Context(), &ec2.CreateImageInput{
		InstanceId: instance, Name: aws.String(name), NoReboot: aws.Bool(true),
		TagSpecifications: m.tags(types.ResourceTypeImage, types.ResourceTypeSnapshot),
	})
	m.must(err)
	_, err = m.c.CreateKeyPair(m.t.Context(), &ec2.CreateKeyPairInput{
		KeyName: aws.String(name), TagSpecifications: m.tags(types.ResourceTypeKeyPair),
	})
	m.must(err)
	volumes, err := m.c.DescribeVolumes(m.t.Context(), new(ec2.DescribeVolumesInput))
	m.must(err)
	_, err = m.c.CreateSnapshot(m.t.Context(), &ec2.CreateSnapshotInput{
		VolumeId: volumes.Volumes[0].VolumeId, Description: aws.String("nightly"),
		TagSpecifications: m.tags(types.ResourceTypeSnapshot),
	})
	m.must(err)
}

// copyElsewhere makes what is like a bake's in IAM and S3.
func (m *copier) copyElsewhere(role string) {
	const trust = `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	for i, name := range []string{"bakery-20200102T030405Z-00000000000000bb", "production", "bakery-" + someBake} {
		in := &iam.CreateRoleInput{
			RoleName: aws.String(name), Path: aws.String("/bakery/"), AssumeRolePolicyDocument: aws.String(trust),
		}
		for key, value := range map[string]string{
			"bakery:bake-id": someBake, "bakery:expires": longAgo, "bakery:self": role,
		} {
			if i == 0 || key != "bakery:self" {
				in.Tags = append(in.Tags, iamtypes.Tag{Key: aws.String(key), Value: aws.String(value)})
			}
		}
		_, err := iam.NewFromConfig(m.q.sdk("us-east-1")).CreateRole(m.t.Context(), in)
		m.must(err)
	}
	client := s3.NewFromConfig(m.q.sdk("us-east-1"), func(o *s3.Options) { o.UsePathStyle = true })
	for _, key := range []string{
		"backup/" + role + "/fs.tgz", "quick/notes.txt", "quick/bakery-20200102T030405Z-prod/fs.tgz",
		"quick/" + role + ".old/fs.tgz", "quick/x/" + role + "/fs.tgz", "quicker/" + role + "/fs.tgz",
	} {
		_, err := client.PutObject(m.t.Context(), &s3.PutObjectInput{
			Bucket: aws.String(m.q.Value("BAKERY_LAB_BUCKET")), Key: aws.String(key), Body: strings.NewReader("x"),
		})
		m.must(err)
	}
}

// there returns the ids of all that is there.
func (q *quickLab) there() (ids []string) {
	for _, r := range q.State() {
		if !r.Gone() {
			ids = append(ids, r.Kind+" "+r.ID+" in "+r.Region)
		}
	}
	slices.Sort(ids)
	return ids
}

// TestRemovalsSpareWhatHasCopiedTags sweeps an account in which a thing of every kind has copied tags with an old
// expiry, in three regions: nothing of it goes, and what a bake has made does. A bake that fails in such an account
// removes its own things only.
func TestRemovalsSpareWhatHasCopiedTags(t *testing.T) {
	t.Parallel()
	q := startQuickLabOptions(t, labserver.Options{Delays: cloud.Delays{Image: time.Hour},
		Runner: labtest.Runner{Guest: func(m *labtest.Machine) {
			if status, _ := m.Metadata("/latest/user-data"); status == http.StatusOK {
				m.PowerOff() // which is success by verdict = "stop"
			}
		}}})
	regions := []string{"us-east-1", "eu-west-1", "ap-south-1"}
	own := map[string]map[types.ResourceType][]string{}
	for _, region := range regions {
		own[region] = q.plant(t, region, someBake, longAgo)
	}
	role := "bakery-20200102T030405Z-" + someBake
	q.plantElsewhere(t, role, role, map[string]string{"bakery:bake-id": someBake, "bakery:expires": longAgo})
	before := q.there()
	for _, region := range regions {
		m := &copier{t, q, region, ec2.NewFromConfig(q.sdk(region)), own[region]}
		m.copyAll("copy")
		m.own = nil
		m.copyAll("early-copy")
		if region == regions[0] {
			m.copyElsewhere(role)
		}
	}
	copies := slices.DeleteFunc(q.there(), func(id string) bool { return slices.Contains(before, id) })
	if len(copies) < 40 {
		t.Fatalf("there are %d copies only: %q", len(copies), copies)
	}
	q.addFault(t, "CreateImage=TestSaysSo:after") // the image is there, and the bake fails
	if _, printed, err := q.bake(t, map[string]any{
		"sweep": false, "force_deregister": true, "ami_regions": regions[1:], "ami_name": "copy-of-nothing",
	}); err == nil {
		t.Errorf("the bake has succeeded:\n%s", printed)
	}
	if gone := slices.DeleteFunc(slices.Concat(before, copies), func(id string) bool {
		return slices.Contains(q.there(), id)
	}); len(gone) > 0 {
		t.Errorf("the bake that failed has removed %q", gone)
	}
	_, printed, err := q.bake(t, map[string]any{
		"sweep": false, "force_deregister": true, "ami_name": "copy",
	})
	if err == nil || !strings.Contains(fmt.Sprint(err, printed), "force_deregister does not replace") {
		t.Errorf("a copy is replaced: %v\n%s", err, printed)
	}
	_, printed, err = q.bakeAs(t, q.sweeping(regions[1:]...))
	if diff := cmp.Diff(copies, q.there()); err != nil || diff != "" {
		t.Errorf("%v, left (-copies +left):\n%s\n%s", err, diff, printed)
	}
}
