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

// bake creates an image of a machine that powers off at once.
func (s shell) bake(t *testing.T, name string, change func(*ec2.RunInstancesInput)) string {
	t.Helper()
	c := ec2.NewFromConfig(sdk(s.lab))
	i := run(t, c, change)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
	out, err := c.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	s.available(t, "us-east-1", *out.ImageId)
	return *out.ImageId
}

// available waits for an image. The waiter of awscli would poll every 15 seconds only.
func (s shell) available(t *testing.T, region, image string) {
	t.Helper()
	c := ec2.NewFromConfig(sdk(s.lab), func(o *ec2.Options) { o.Region = region })
	until(t, image+" is available", func() bool {
		out, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{image}})
		return err == nil && out.Images[0].State == types.ImageStateAvailable
	})
}

// copied copies an image to a region.
func (s shell) copied(t *testing.T, region, image, name string, change func(*ec2.CopyImageInput)) (string, error) {
	t.Helper()
	in := &ec2.CopyImageInput{SourceRegion: aws.String("us-east-1"), SourceImageId: &image, Name: &name}
	if change != nil {
		change(in)
	}
	out, err := ec2.NewFromConfig(sdk(s.lab)).CopyImage(t.Context(), in, func(o *ec2.Options) { o.Region = region })
	if err != nil {
		return "", err
	}
	s.available(t, region, *out.ImageId)
	return *out.ImageId, nil
}

// copy copies an image to a region, which must succeed.
func (s shell) copy(t *testing.T, region, image, name string, change func(*ec2.CopyImageInput)) string {
	t.Helper()
	id, err := s.copied(t, region, image, name, change)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// code asserts the code of an error.
func code(t *testing.T, want string, err error) {
	t.Helper()
	if got := codeOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// get returns a value of a describe command.
func (s shell) get(t *testing.T, query string, args ...string) string {
	t.Helper()
	return s.aws(t, append(append([]string{"ec2"}, args...), "--query", query, "--output", "text")...)
}

var baker = lab.Options{Runner: labtest.Runner{Guest: powerOff}}

func TestSharingImages(t *testing.T) {
	t.Parallel()
	s := newShell(t, baker)
	plain := s.bake(t, "plain", nil)
	snapshot := func(region, image string) string {
		return s.get(t, "Images[0].BlockDeviceMappings[0].Ebs.SnapshotId", "describe-images", "--region", region,
			"--image-ids", image)
	}
	modify := func(image, json string) []string {
		return []string{"ec2", "modify-image-attribute", "--image-id", image, "--launch-permission", json}
	}
	org, ou := "arn:aws:organizations::123456789012:organization/o-1", "arn:aws:organizations::123456789012:ou/o-1/ou-1"
	s.aws(t, modify(plain, `{"Add":[{"UserId":"111122223333"},{"Group":"all"},{"OrganizationArn":"`+org+
		`"},{"OrganizationalUnitArn":"`+ou+`"}]}`)...)
	got := s.aws(t, "ec2", "describe-image-attribute", "--image-id", plain, "--attribute", "launchPermission",
		"--query", "LaunchPermissions")
	for _, want := range []string{"all", "111122223333", org, ou} {
		if !strings.Contains(got, `"`+want+`"`) {
			t.Errorf("permissions without %s: %s", want, got)
		}
	}
	s.refused(t, "InvalidAMIAttributeItemValue", modify(plain, `{"Add":[{"UserId":"me"}]}`)...)
	s.aws(t, "ec2", "reset-image-attribute", "--image-id", plain, "--attribute", "launchPermission")
	if got := s.get(t, "LaunchPermissions", "describe-image-attribute", "--image-id", plain, "--attribute",
		"launchPermission"); got != "" {
		t.Errorf("permissions after a reset: %s", got)
	}
	permit := func(snapshot, json string) []string {
		return []string{"ec2", "modify-snapshot-attribute", "--snapshot-id", snapshot, "--create-volume-permission",
			json}
	}
	s.aws(t, permit(snapshot("us-east-1", plain), `{"Add":[{"UserId":"111122223333"},{"Group":"all"}]}`)...)
	if got := s.get(t, "CreateVolumePermissions[].[Group || UserId][]", "describe-snapshot-attribute", "--snapshot-id",
		snapshot("us-east-1", plain), "--attribute", "createVolumePermission"); got != "all\t111122223333" {
		t.Errorf("snapshot permissions: %q", got)
	}

	byDefault := s.copy(t, "us-east-1", plain, "by-default",
		func(in *ec2.CopyImageInput) { in.Encrypted = aws.Bool(true) })
	s.refused(t, "InvalidParameter", modify(byDefault, `{"Add":[{"UserId":"111122223333"}]}`)...)
	s.refused(t, "OperationNotPermitted",
		permit(snapshot("us-east-1", byDefault), `{"Add":[{"UserId":"111122223333"}]}`)...)
	byKey := s.copy(t, "us-east-1", plain, "by-key",
		func(in *ec2.CopyImageInput) { in.Encrypted, in.KmsKeyId = aws.Bool(true), aws.String("alias/mine") })
	s.aws(t, modify(byKey, `{"Add":[{"UserId":"111122223333"}]}`)...)
	s.aws(t, permit(snapshot("us-east-1", byKey), `{"Add":[{"UserId":"111122223333"}]}`)...)
	s.refused(t, "UnsupportedOperation", modify(byKey, `{"Add":[{"Group":"all"}]}`)...)
	s.refused(t, "OperationNotPermitted", permit(snapshot("us-east-1", byKey), `{"Add":[{"Group":"all"}]}`)...)
}

func TestEncryptionOfCopies(t *testing.T) {
	t.Parallel()
	s := newShell(t, baker)
	key := "1234abcd-12ab-34cd-56ef-1234567890ab"
	image := s.bake(t, "encrypted", func(in *ec2.RunInstancesInput) {
		in.BlockDeviceMappings = []types.BlockDeviceMapping{
			{DeviceName: aws.String("/dev/xvda"),
				Ebs: &types.EbsBlockDevice{Encrypted: aws.Bool(true), KmsKeyId: &key}},
			{DeviceName: aws.String("/dev/sdf"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(3)}},
		}
	})
	devices := func(region, image string) string {
		return s.get(t, "Images[0].BlockDeviceMappings[].Ebs.[Encrypted,KmsKeyId]", "describe-images", "--region",
			region, "--image-ids", image)
	}
	if got, want := devices("us-east-1",
		image), "True\tarn:aws:kms:us-east-1:123456789012:key/"+key+"\nFalse\tNone"; got != want {
		t.Errorf("image: %q", got)
	}
	refused := func(want string, change func(*ec2.CopyImageInput)) {
		t.Helper()
		_, err := s.copied(t, "us-east-1", image, "copy", change)
		code(t, want, err)
	}
	refused("InvalidRequest", func(in *ec2.CopyImageInput) { in.Encrypted = aws.Bool(false) })
	refused("InvalidParameterDependency", func(in *ec2.CopyImageInput) { in.KmsKeyId = &key })
	refused("InvalidAMIName.Duplicate", func(in *ec2.CopyImageInput) { in.Name = aws.String("encrypted") })
	refused("InvalidParameterValue",
		func(in *ec2.CopyImageInput) { in.SnapshotCopyCompletionDurationMinutes = aws.Int64(20) })
	there := s.copy(t, "eu-west-1", image, "encrypted", nil)
	lines := strings.Split(devices("eu-west-1", there), "\n")
	if !strings.HasPrefix(lines[0], "True\tarn:aws:kms:eu-west-1:123456789012:key/") ||
		strings.Contains(lines[0], key) || lines[1] != "False\tNone" {
		t.Errorf("copied to another region: %q", lines)
	}
	with := s.copy(t, "eu-west-1", image, "with a key", func(in *ec2.CopyImageInput) {
		in.Encrypted, in.KmsKeyId = aws.Bool(true), aws.String("arn:aws:kms:eu-west-1:123456789012:key/"+key)
	})
	if got, one := devices("eu-west-1",
		with), "True\tarn:aws:kms:eu-west-1:123456789012:key/"+key; got != one+"\n"+one {
		t.Errorf("with a key: %q", got)
	}
	_, err := s.copied(t, "ap-east-1", image, "closed", nil)
	code(t, "AuthFailure", err)
}

func TestCopyImageIsIdempotentWithAClientToken(t *testing.T) {
	t.Parallel()
	s := newShell(t, baker)
	image := s.bake(t, "once", nil)
	s.aws(t, "ec2", "create-tags", "--resources", image, "--tags", "Key=a,Value=b")
	tags := func(kind types.ResourceType, key string) types.TagSpecification {
		return types.TagSpecification{ResourceType: kind, Tags: []types.Tag{{Key: &key, Value: aws.String("v")}}}
	}
	same := func(in *ec2.CopyImageInput) {
		in.ClientToken, in.CopyImageTags = aws.String("t"), aws.Bool(true)
		in.TagSpecifications = []types.TagSpecification{tags(types.ResourceTypeImage, "c"),
			tags(types.ResourceTypeSnapshot, "e")}
	}
	one, two := s.copy(t, "us-east-1", image, "two", same), s.copy(t, "us-east-1", image, "two", same)
	if one != two {
		t.Errorf("two copies: %s and %s", one, two)
	}
	_, err := s.copied(t, "us-east-1", image, "three", same)
	code(t, "IdempotentParameterMismatch", err)
	if got := s.get(t, "Images[0].Tags[].[Key,Value][]", "describe-images", "--image-ids", one); got != "a\tb\tc\tv" {
		t.Errorf("tags: %q", got)
	}
	if got := s.get(t, "Snapshots[0].[Tags[0].Value,Progress]", "describe-snapshots", "--filters",
		"Name=tag:e,Values=v"); got != "v\t100%" {
		t.Errorf("snapshot: %q", got)
	}
}

func TestDeregistrationProtection(t *testing.T) {
	t.Parallel()
	s, ctx := newShell(t, baker), t.Context()
	c := ec2.NewFromConfig(sdk(s.lab))
	image := s.bake(t, "kept", nil)
	deregister := func() error {
		_, err := c.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: &image})
		return err
	}
	protect := func(cooldown bool) {
		if _, err := c.EnableImageDeregistrationProtection(ctx,
			&ec2.EnableImageDeregistrationProtectionInput{ImageId: &image, WithCooldown: &cooldown}); err != nil {
			t.Error(err)
		}
		code(t, "OperationNotPermitted", deregister())
		out, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{image}})
		if want := map[bool]string{true: "enabled-with-cooldown",
			false: "enabled-without-cooldown"}[cooldown]; err != nil ||
			aws.ToString(out.Images[0].DeregistrationProtection) != want {
			t.Errorf("protection: %+v, %v", out, err)
		}
		if _, err := c.DisableImageDeregistrationProtection(ctx,
			&ec2.DisableImageDeregistrationProtectionInput{ImageId: &image}); err != nil {
			t.Error(err)
		}
	}
	protect(false)
	protect(true)
	code(t, "OperationNotPermitted", deregister()) // the cooldown
}

func TestDeregistrationAfterProtection(t *testing.T) {
	t.Parallel()
	s, ctx := newShell(t, baker), t.Context()
	c := ec2.NewFromConfig(sdk(s.lab))
	image := s.bake(t, "may go", nil)
	_, on := c.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: &image})
	_, off := c.DisableImageDeregistrationProtection(ctx,
		&ec2.DisableImageDeregistrationProtectionInput{ImageId: &image})
	_, gone := c.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: &image})
	if on != nil || off != nil || gone != nil {
		t.Errorf("%v, %v, %v", on, off, gone)
	}
}

func TestDescribeImageAttributes(t *testing.T) {
	t.Parallel()
	s, ctx := newShell(t, baker), t.Context()
	c := ec2.NewFromConfig(sdk(s.lab))
	image := s.bake(t, "attributes", nil)
	set := func(in ec2.ModifyImageAttributeInput) error {
		in.ImageId = &image
		_, err := c.ModifyImageAttribute(ctx, &in)
		return err
	}
	value := func(v string) *types.AttributeValue { return &types.AttributeValue{Value: &v} }
	code(t, "", set(ec2.ModifyImageAttributeInput{ProductCodes: []string{"abc", "def"}}))
	code(t, "", set(ec2.ModifyImageAttributeInput{Description: value("changed")}))
	code(t, "", set(ec2.ModifyImageAttributeInput{ImdsSupport: value("v2.0")}))
	code(t, "InvalidParameterValue", set(ec2.ModifyImageAttributeInput{ImdsSupport: value("v1.0")}))
	code(t, "InvalidParameterCombination",
		set(ec2.ModifyImageAttributeInput{ImdsSupport: value("v2.0"), Description: value("x")}))
	at := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Minute)
	s.aws(t, "ec2", "enable-image-deprecation", "--image-id", image, "--deprecate-at", at.Format(time.RFC3339))
	s.refused(t, "InvalidParameterValue", "ec2", "enable-image-deprecation", "--image-id", image, "--deprecate-at",
		"2020-01-01T00:00:00Z")
	if got := s.get(t, "Images[0].[Description,DeprecationTime,ProductCodes[1].ProductCodeId]", "describe-images",
		"--image-ids", image); got != "changed\t"+at.Format("2006-01-02T15:04:05.000Z")+"\tdef" {
		t.Errorf("attributes: %q", got)
	}
	if got := s.get(t, "ProductCodes[].ProductCodeId", "describe-image-attribute", "--image-id", image, "--attribute",
		"productCodes"); got != "abc\tdef" {
		t.Errorf("product codes: %q", got)
	}
	out, err := c.DescribeImageAttribute(ctx,
		&ec2.DescribeImageAttributeInput{ImageId: &image, Attribute: types.ImageAttributeNameImdsSupport})
	if err != nil || aws.ToString(out.ImdsSupport.Value) != "v2.0" {
		t.Errorf("imds support: %+v, %v", out, err)
	}
}

func TestRegisterImageFromASnapshot(t *testing.T) {
	t.Parallel()
	s, ctx := newShell(t, baker), t.Context()
	c := ec2.NewFromConfig(sdk(s.lab))
	image := s.bake(t, "source", nil)
	snapshot := s.get(t, "Images[0].BlockDeviceMappings[0].Ebs.SnapshotId", "describe-images", "--image-ids", image)
	register := func(name string, change func(*ec2.RegisterImageInput)) (string, error) {
		in := &ec2.RegisterImageInput{
			Name: &name, RootDeviceName: aws.String("/dev/xvda"), Architecture: types.ArchitectureValuesX8664,
			TpmSupport: types.TpmSupportValuesV20,
			BootMode:   types.BootModeValuesUefi, ImdsSupport: types.ImdsSupportValuesV20, EnaSupport: aws.Bool(true),
			SriovNetSupport: aws.String("simple"),
			BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"),
				Ebs: &types.EbsBlockDevice{SnapshotId: &snapshot}}},
		}
		change(in)
		out, err := c.RegisterImage(ctx, in)
		if err != nil {
			return "", err
		}
		return *out.ImageId, nil
	}
	for want, change := range map[string]func(*ec2.RegisterImageInput){
		"InvalidAMIName.Duplicate":  func(in *ec2.RegisterImageInput) { in.Name = aws.String("source") },
		"InvalidParameterValue":     func(in *ec2.RegisterImageInput) { in.BootMode = "" },
		"InvalidBlockDeviceMapping": func(in *ec2.RegisterImageInput) { in.BlockDeviceMappings = nil },
		"InvalidSnapshot.NotFound": func(in *ec2.RegisterImageInput) {
			in.BlockDeviceMappings[0].Ebs.SnapshotId = aws.String("snap-0123456789abcdef0")
		},
	} {
		_, err := register("tpm", change)
		code(t, want, err)
	}
	id, err := register("tpm", func(*ec2.RegisterImageInput) {})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.get(t, "Images[0].[State,BootMode,TpmSupport,EnaSupport,SriovNetSupport]", "describe-images",
		"--image-ids", id); got != "available\tuefi\tv2.0\tTrue\tsimple" {
		t.Errorf("registered: %q", got)
	}
	s.refused(t, "InvalidSnapshot.InUse", "ec2", "delete-snapshot", "--snapshot-id", snapshot)
}
