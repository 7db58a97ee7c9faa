// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// TestAccountSettings tests what settings of the account do to disks, copies and sharing, and only in their region.
func TestAccountSettings(t *testing.T) {
	l := labtest.Start(t, lab.Options{Runner: labtest.Runner{Guest: powerOff}})
	c := ec2.NewFromConfig(sdk(l))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range []struct {
		state types.SnapshotBlockPublicAccessState
		want  string
	}{{"block-new-sharing", ""}, {"block-all-sharing", ""}, {"unblocked", "InvalidParameterValue"}} {
		out, err := c.EnableSnapshotBlockPublicAccess(t.Context(),
			&ec2.EnableSnapshotBlockPublicAccessInput{State: one.state})
		if codeOf(err) != one.want || err == nil && out.State != one.state {
			t.Errorf("%s: %v", one.state, err)
		}
	}
	blocked, err := c.EnableImageBlockPublicAccess(t.Context(), &ec2.EnableImageBlockPublicAccessInput{
		ImageBlockPublicAccessState: types.ImageBlockPublicAccessEnabledStateBlockNewSharing})
	must(err)
	if blocked.ImageBlockPublicAccessState != types.ImageBlockPublicAccessEnabledStateBlockNewSharing {
		t.Errorf("the state is %s", blocked.ImageBlockPublicAccessState)
	}
	image := newTestImage(t, c, l, "plain")
	share := func(id string, with *types.LaunchPermissionModifications) error {
		_, err := c.ModifyImageAttribute(t.Context(),
			&ec2.ModifyImageAttributeInput{ImageId: &id, LaunchPermission: with})
		return err
	}
	everybody := &types.LaunchPermissionModifications{Add: []types.LaunchPermission{{Group: "all"}}}
	err = share(image, everybody)
	if codeOf(err) != "OperationNotPermitted" || !strings.Contains(err.Error(), "block public access for AMIs") {
		t.Errorf("a public image: %v", err)
	}
	snapshot := *describeTestImage(t, c, image).BlockDeviceMappings[0].Ebs.SnapshotId
	_, err = c.ModifySnapshotAttribute(t.Context(), &ec2.ModifySnapshotAttributeInput{SnapshotId: &snapshot,
		Attribute: types.SnapshotAttributeNameCreateVolumePermission,
		CreateVolumePermission: &types.CreateVolumePermissionModifications{
			Add: []types.CreateVolumePermission{{Group: "all"}}}})
	if codeOf(err) != "OperationNotPermitted" {
		t.Errorf("a public snapshot: %v", err)
	}
	_, err = c.DisableImageBlockPublicAccess(t.Context(), new(ec2.DisableImageBlockPublicAccessInput))
	must(err)
	err = share(image, everybody)
	must(err)

	// The key of AWS cannot be shared, one's own can.
	_, err = c.EnableEbsEncryptionByDefault(t.Context(), new(ec2.EnableEbsEncryptionByDefaultInput))
	must(err)
	other := &types.LaunchPermissionModifications{Add: []types.LaunchPermission{{UserId: aws.String("111111111111")}}}
	for _, one := range []struct{ name, key, want string }{
		{"with AWS's key", "", "InvalidParameter"}, {"with a key", "alias/of-ours", ""},
	} {
		if one.key != "" {
			_, err := c.ModifyEbsDefaultKmsKeyId(t.Context(), &ec2.ModifyEbsDefaultKmsKeyIdInput{KmsKeyId: &one.key})
			must(err)
		}
		id := newTestImage(t, c, l, one.name)
		if !*describeTestImage(t, c, id).BlockDeviceMappings[0].Ebs.Encrypted {
			t.Errorf("%s: it is not encrypted", one.name)
		}
		err := share(id, other)
		if codeOf(err) != one.want {
			t.Errorf("%s: %v, want %q", one.name, err, one.want)
		}
	}
	away := sdk(l)
	away.Region = "eu-west-1"
	e := ec2.NewFromConfig(away)
	out, err := e.GetEbsEncryptionByDefault(t.Context(), new(ec2.GetEbsEncryptionByDefaultInput))
	if err != nil || *out.EbsEncryptionByDefault {
		t.Errorf("another region encrypts as well: %v", err)
	}
	key, err := e.GetEbsDefaultKmsKeyId(t.Context(), new(ec2.GetEbsDefaultKmsKeyIdInput))
	if err != nil || *key.KmsKeyId != "alias/aws/ebs" {
		t.Errorf("the default key is %v, %v", key, err)
	}
}

// newTestImage makes an image of a machine, and waits until it is available.
func newTestImage(t *testing.T, c *ec2.Client, l *labtest.Lab, name string) string {
	t.Helper()
	run, err := c.RunInstances(t.Context(), &ec2.RunInstancesInput{ImageId: aws.String(l.Value("BAKERY_LAB_AMI")),
		InstanceType: types.InstanceTypeT3Nano, MinCount: aws.Int32(1), MaxCount: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	for {
		out, err := c.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: run.Instances[0].InstanceId,
			Name: &name, NoReboot: aws.Bool(true)})
		if err == nil {
			for describeTestImage(t, c, *out.ImageId).State != types.ImageStateAvailable {
				time.Sleep(10 * time.Millisecond)
			}
			return *out.ImageId
		}
		if codeOf(err) != "IncorrectInstanceState" {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func describeTestImage(t *testing.T, c *ec2.Client, id string) types.Image {
	t.Helper()
	out, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Images[0]
}
